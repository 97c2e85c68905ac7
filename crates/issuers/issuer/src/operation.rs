//! The operations of a spec, as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::matcher::{Matcher, Scalar};
use crate::page::Page;
use crate::pointer::Pointer;
use crate::span::Span;
use crate::target::Target;
use crate::template::{JsonTemplate, Template};

/// The operations that the issuer supports. keyroll derives the issuer's capabilities from which of them are present.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operations {
    /// Tests whether a credential works, by one cheap call with it.
    pub(crate) verify: Verify,
    /// Reads the settings of the current credential, such as its scopes, so that `mint` can give the new one the same.
    pub(crate) get: Option<Get>,
    /// Makes a new credential.
    pub(crate) mint: Option<Mint>,
    /// Lists all pages of the credentials of this kind, among them the current one and every one that a rotation makes.
    pub(crate) list: Option<List>,
    /// Returns the id or the owner of a credential, by a call with the credential itself.
    pub(crate) identify: Option<Identify>,
    /// A read-only call that succeeds only if the admin credential has the permissions that a rotation needs.
    pub(crate) rights: Option<Rights>,
    /// Disables a credential, so that `enable` can enable it again. Requires `enable`.
    pub(crate) disable: Option<Change>,
    /// Enables a disabled credential. Requires `disable`.
    pub(crate) enable: Option<Change>,
    /// Revokes a credential. This cannot be undone.
    pub(crate) revoke: Option<Change>,
    /// Lists the open sessions of a credential.
    pub(crate) sessions: Option<Sessions>,
    /// Lists the refused calls with a credential. Required with `refusals = "issuer-log"`.
    pub(crate) refusals: Option<Refusals>,
    /// Ends one session of `sessions`.
    pub(crate) end_session: Option<EndSession>,
}

impl Operations {
    /// Every request that the spec describes, by the key of its operation.
    pub(crate) fn requests(&self) -> Vec<(&'static str, &Request)> {
        let mut all: Vec<(&'static str, &Request)> = vec![("op.verify", &self.verify.request)];
        all.extend(self.get.iter().map(|get| ("op.get", &get.request)));
        all.extend(self.mint.iter().map(|mint| ("op.mint", &mint.request)));
        all.extend(self.list.iter().map(|list| ("op.list", &list.request)));
        all.extend(self.identify.iter().map(|identify| ("op.identify", &identify.request)));
        all.extend(self.rights.iter().map(|rights| ("op.rights", &rights.request)));
        let changes =
            [("op.disable", &self.disable), ("op.enable", &self.enable), ("op.revoke", &self.revoke)];
        all.extend(changes.into_iter().filter_map(|(key, change)| Some((key, &change.as_ref()?.request))));
        all.extend(self.sessions.iter().map(|sessions| ("op.sessions", &sessions.request)));
        all.extend(self.end_session.iter().map(|end| ("op.end_session", &end.request)));
        all.extend(self.refusals.iter().map(|refusals| ("op.refusals", &refusals.request)));
        all
    }
}

/// The credential that a request authenticates with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum As {
    /// The admin credential.
    Admin,
    /// The credential that the operation is about.
    #[serde(rename = "self")]
    Own,
}

/// The HTTP methods that an operation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    /// Reads.
    Get,
    /// Creates or changes.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Deletes.
    Delete,
}

/// The request. keyroll escapes the value of a placeholder for its position: a path segment, a query or form value, a
/// header, or a JSON string.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The HTTP method.
    pub(crate) method: Method,
    /// The address, `https://host/path`; `http://` is allowed for loopback only. Placeholders may occur in path segments.
    pub(crate) url: Target,
    /// Query parameters by name. Default: none.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Template>,
    /// Headers by name, in addition to those of `[auth]`. Default: none.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// A JSON body, in whose strings placeholders may occur. Not with `form`.
    pub(crate) json: Option<JsonTemplate>,
    /// A form body (`application/x-www-form-urlencoded`), by name. Not with `json`.
    pub(crate) form: Option<BTreeMap<String, Template>>,
}

impl Request {
    /// Every template that is sent: path, query, headers, body.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        let body = self.json.iter().flat_map(|json| json.texts());
        let form = self.form.iter().flat_map(|form| form.values());
        let rest = self.query.values().chain(self.header.values());
        self.url.segments.iter().chain(rest).chain(body).chain(form).collect()
    }
}

/// What members of a body are called that name an account: they are no secret, and a name is part of many messages.
const NAMES: [&str; 6] = ["client_id", "clientId", "appId", "identifier", "username", "user"];

impl Request {
    /// The templates of a body but those that name an account.
    pub(crate) fn secrets(&self) -> Vec<&Template> {
        let form = self.form.iter().flatten().filter(|(name, _)| !NAMES.contains(&name.as_str()));
        let mut all: Vec<&Template> = form.map(|(_, text)| text).collect();
        if let Some(JsonTemplate::Object(entries)) = &self.json {
            let entries = entries.iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
            all.extend(entries.flat_map(|(_, json)| json.texts()));
        }
        all
    }
}

/// `op.verify`: tests whether a credential works. keyroll tries the lists in the order `alive`, `denied`, `dead`, and the
/// first list with a match decides. Without a match the result is *unknown*.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// The request, which authenticates with the credential itself.
    pub(crate) request: Request,
    /// Answers that mean: the issuer accepts the credential.
    pub(crate) alive: Vec<Matcher>,
    /// Answers that mean: the issuer accepts the credential, which lacks the permission for this call. It counts as working.
    #[serde(default)]
    pub(crate) denied: Vec<Matcher>,
    /// Answers that mean: the issuer refuses the credential.
    pub(crate) dead: Vec<Matcher>,
    /// The ids of the rules of `keyroll leaks` whose findings this operation can test. The request must need no other field
    /// than the value. Default: none.
    #[serde(default)]
    pub(crate) rules: Vec<String>,
    /// Another service that accepts values of this form, such as `a self-hosted GitLab`. A finding that this issuer refuses
    /// may work there, and the report says so.
    pub(crate) elsewhere: Option<String>,
}

/// `op.get`: reads the settings of the current credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    /// The credential that the request authenticates with.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// The request.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The settings to copy: a name of your choice for `{copy.NAME}` in `op.mint`, and the position in the answer. The
    /// answer must contain all of them.
    pub(crate) copy: BTreeMap<String, Pointer>,
}

/// `op.mint`: makes a new credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mint {
    /// The credential that the request authenticates with.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// The request.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The positions of the new credential in the answer.
    pub(crate) take: Take,
    /// With `minted_by = "us"` and without labels: whether a repeated identical call has the effect of one call. Default
    /// false.
    #[serde(default)]
    pub(crate) idempotent: bool,
}

/// The positions of the new credential in the answer to `op.mint`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Take {
    /// The issuer's id for the credential: a string or a whole number. Only credentials of an issuer with
    /// `overlap = { kind = "grace" }` may have none.
    pub(crate) id: Option<Pointer>,
    /// The fields of the credential, by name. A field that is not secret and not named here keeps the value of the current
    /// credential.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, Pointer>,
    /// The fields of `fields` that the answer has in Base64. Default: none.
    #[serde(default)]
    pub(crate) base64: Vec<String>,
}

/// `op.list`: lists the credentials of this kind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// The credential that the request authenticates with.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// The request for the first page.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The array of credentials in the answer.
    pub(crate) items: Pointer,
    /// The issuer's id of a credential, within an item.
    pub(crate) id: Pointer,
    /// The label of a credential, within an item. If `op.mint` also sends `{label}`, keyroll finds the credentials that it
    /// made by their labels.
    pub(crate) label: Option<Pointer>,
    /// The flag that says that a credential is disabled, within an item.
    pub(crate) disabled: Option<Flag>,
    /// The flag that says that a credential is revoked and only still listed, within an item. keyroll ignores such an item.
    pub(crate) ended: Option<Flag>,
    /// The time at which a credential was last used, within an item. Requires `[last_used]`.
    pub(crate) last_used: Option<Moment>,
    /// A redacted preview of the value, such as `sk-…1c96`, within an item.
    pub(crate) hint: Option<Pointer>,
    /// How keyroll requests the next page.
    pub(crate) page: Page,
}

/// A flag in an answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    /// The position of the flag.
    pub(crate) at: Pointer,
    /// The values that mean yes. Any other value of the same type means no.
    pub(crate) is: Vec<Scalar>,
    /// What it means if there is nothing at the position. Default: the answer is not understood.
    pub(crate) absent: Option<bool>,
}

/// A time in an answer. A time that is null or absent means that the issuer has no data.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// The position of the time.
    pub(crate) at: Pointer,
    /// The format of the time.
    pub(crate) form: MomentForm,
}

/// The format of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MomentForm {
    /// `2026-11-20T09:00:00Z`.
    Rfc3339,
    /// Seconds since 1970.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
}

impl MomentForm {
    /// As a spec writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rfc3339 => "rfc3339",
            Self::UnixS => "unix-s",
            Self::UnixMs => "unix-ms",
        }
    }
}

/// `op.identify`: returns the id or the owner of a credential, by a call with the credential itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identify {
    /// The request, which authenticates with the credential itself.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The credential's id.
    pub(crate) id: Option<Pointer>,
    /// The account or principal that the credential belongs to.
    pub(crate) principal: Option<Pointer>,
}

/// `op.rights`: tests whether the admin credential has the permissions that a rotation needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rights {
    /// The request, which authenticates with the admin credential.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
}

/// `op.disable`, `op.enable` and `op.revoke`: changes one credential, by `{cred.id}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The request, which authenticates with the admin credential.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// Answers that mean that there is nothing left to do, such as 404 for a revoke. Default: none.
    #[serde(default)]
    pub(crate) already: Vec<Matcher>,
    /// With `op.revoke`: whether the issuer revokes only a disabled credential, so that `op.disable` comes before. Default
    /// false.
    #[serde(default)]
    pub(crate) after_disable: bool,
}

/// `op.sessions`: lists the open sessions of a credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions {
    /// The request, which authenticates with the admin credential.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The array of sessions in the answer.
    pub(crate) items: Pointer,
    /// The issuer's id of a session, for `{session.handle}`, within an item.
    pub(crate) handle: Pointer,
    /// The client's `address:port`, within an item. With it, keyroll finds the process that has the session.
    pub(crate) client: Option<Pointer>,
    /// The flag that says that the session has a request in progress, within an item.
    pub(crate) busy: Option<Flag>,
    /// The number of requests that the issuer accepted in the session, within an item.
    pub(crate) calls: Option<Pointer>,
    /// How keyroll requests the next page.
    pub(crate) page: Page,
}

/// `op.refusals`: reads the issuer's record of refused calls with one credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusals {
    /// The request for the first page, which authenticates with the admin credential and may contain `{cred.id}` and
    /// `{since}`.
    pub(crate) request: Request,
    /// Answers that mean success. Any other answer is a failure or an unknown outcome.
    pub(crate) ok: Vec<Matcher>,
    /// The array of refused calls in the answer.
    pub(crate) items: Pointer,
    /// The unique id of an entry, within an item. Required without `time`.
    pub(crate) id: Option<Pointer>,
    /// The time of the refusal by the issuer's clock, within an item. keyroll sends `{since}` in the same format.
    pub(crate) time: Option<Moment>,
    /// The credential of the refused call, within an item. Required if the request does not contain `{cred.id}`.
    pub(crate) key: Option<KeyNamed>,
    /// The client's `address:port`, or its address alone, within an item. With a port of this machine, keyroll finds the
    /// process that made the call.
    pub(crate) client: Option<Pointer>,
    /// Further information about the client, such as a user agent or a request id, within an item.
    pub(crate) agent: Option<Pointer>,
    /// How long after a refused call the issuer shows it, at most: `1m`.
    pub(crate) lag: Span,
    /// The resolution of `time`. Default `1s`.
    #[serde(default = "second")]
    pub(crate) granularity: Span,
    /// How keyroll requests the next page.
    pub(crate) page: Page,
}

fn second() -> Span {
    Span::from_ms(1_000)
}

/// How an entry identifies the credential of a refused call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyNamed {
    /// The position of the text that identifies the credential.
    pub(crate) at: Pointer,
    /// What that text is.
    pub(crate) names: Names,
}

/// A text that identifies a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Names {
    /// The issuer's id of the credential.
    Id,
    /// A redacted preview of the value, such as `sk-…1c96`.
    Hint,
}

/// `op.end_session`: ends one session.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndSession {
    /// The request, which authenticates with the admin credential. It contains `{session.handle}`; and `{session.force}`, if
    /// the issuer can keep a session that has a request in progress.
    pub(crate) request: Request,
    /// Answers that mean: the session was ended.
    pub(crate) ok: Vec<Matcher>,
    /// Answers that mean: the session had ended before. Default: none.
    #[serde(default)]
    pub(crate) already: Vec<Matcher>,
    /// Answers that mean: the session has a request in progress and was not ended. Default: none.
    #[serde(default)]
    pub(crate) busy: Vec<Matcher>,
}
