//! How a caller authenticates, as a spec writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::matcher::Matcher;
use crate::operation::Request;
use crate::pointer::Pointer;
use crate::span::Span;
use crate::target::Host;
use crate::template::Template;

/// How requests with one credential authenticate, and the only hosts that keyroll sends it to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    /// The hosts that keyroll may send this credential to: `openrouter.ai`, or with a port other than 443,
    /// `127.0.0.1:8080`.
    pub(crate) hosts: Vec<Host>,
    /// Headers by name, such as `Authorization = "Bearer {admin}"`. Default: none.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// HTTP Basic authentication.
    pub(crate) basic: Option<Basic>,
    /// A JWT that is signed with the credential, for `{jwt}`.
    pub(crate) jwt: Option<Jwt>,
    /// With `[auth.self]`: an HMAC with the credential, for `{hmac}`.
    pub(crate) hmac: Option<Hmac>,
    /// With `[auth.admin]`: the access token that the credential is exchanged for, for `{token}`.
    pub(crate) token: Option<Exchange>,
}

impl Caller {
    /// Every template with which this caller authenticates.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        let exchange = self.token.as_ref();
        let headers =
            self.header.values().chain(exchange.iter().flat_map(|exchange| exchange.header.values()));
        let basic = self.basics().flat_map(|basic| [&basic.user, &basic.password]);
        let jwt =
            self.jwt.iter().flat_map(|jwt| jwt.header.values().chain(jwt.claims.values()).chain([&jwt.key]));
        let sent = exchange.iter().flat_map(|exchange| exchange.request.templates());
        headers.chain(basic).chain(jwt).chain(sent).collect()
    }

    /// Those of them that hold a secret: not the name of an account, which is a part of many messages.
    pub(crate) fn secrets(&self) -> Vec<&Template> {
        let exchange = self.token.as_ref();
        let headers =
            self.header.values().chain(exchange.iter().flat_map(|exchange| exchange.header.values()));
        let basic = self.basics().map(|basic| &basic.password);
        let jwt = self.jwt.iter().map(|jwt| &jwt.key);
        let sent = exchange.iter().flat_map(|exchange| exchange.request.secrets());
        headers.chain(basic).chain(jwt).chain(sent).collect()
    }

    fn basics(&self) -> impl Iterator<Item = &Basic> {
        let exchange = self.token.as_ref().and_then(|exchange| exchange.basic.as_ref());
        self.basic.iter().chain(exchange)
    }
}

/// A user and a password for HTTP Basic authentication.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// The user name, without a colon.
    pub(crate) user: Template,
    /// The password.
    pub(crate) password: Template,
}

/// `[auth.admin.token]`: the request that exchanges the admin credential for an access token, for `{token}`. keyroll
/// keeps the token in memory, and requests another before it ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// The request. It may contain the admin credential, `{jwt}`, and fields of the current credential that are not secret.
    pub(crate) request: Request,
    /// Headers with the admin credential, by name. Default: none.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// HTTP Basic authentication with the admin credential.
    pub(crate) basic: Option<Basic>,
    /// Answers that mean success. Any other answer is a failure.
    pub(crate) ok: Vec<Matcher>,
    /// The token in the answer.
    pub(crate) take: Pointer,
    /// The number of seconds for which the token works, in the answer. Default: one minute.
    pub(crate) lasts: Option<Pointer>,
}

/// A JWT signed with RS256 (RFC 7519, RFC 7518), for `{jwt}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// The RSA private key in PEM: `{cred.value}`, or `{cred.value/private_key}` if the value is a JSON document.
    pub(crate) key: Template,
    /// Entries of the header besides `alg` and `typ`, such as `kid`. Default: none.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// The claims besides `iat` (one minute before now) and `exp`.
    pub(crate) claims: BTreeMap<String, Template>,
    /// How long the JWT is valid, 1m to 1h: the time between `iat` and `exp`.
    pub(crate) lasts: Span,
}

/// An HMAC (RFC 2104) of a text, for `{hmac}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hmac {
    /// The key: `{cred.value}`.
    pub(crate) key: Template,
    /// How the value is the key. Default `text`.
    #[serde(default)]
    pub(crate) key_form: KeyForm,
    /// The text that is signed. It may contain `{time}`, the seconds since 1970, and fields that are not secret.
    pub(crate) text: Template,
    /// The hash function.
    pub(crate) hash: Hash,
    /// How the HMAC is written.
    pub(crate) form: HmacForm,
}

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a value is the key of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyForm {
    /// The value itself.
    #[default]
    Text,
    /// What the value is in Base64 after its prefix, as `whsec_…` of Standard Webhooks.
    Base64,
}

/// How an HMAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HmacForm {
    /// In lower-case hexadecimal digits.
    Hex,
    /// In Base64 with padding.
    Base64,
}
