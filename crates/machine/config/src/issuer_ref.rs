use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_logins::{LoginServer, SERVERS, login_server};

use crate::at::At;
use crate::mistake::{Mistake, did_you_mean};
use crate::path::resolve;
use crate::reading::Reading;
use crate::reference::foreign;
use crate::shipped::{AWS_ACCESS_KEY, is_shipped, meant};
use crate::{Kind, Name};

/// The longest `issuer_host`, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// The issuer of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerRef {
    /// A spec that is shipped with keyroll, by its name.
    Shipped(Name),
    /// A spec of the operator's own.
    SpecFile(PathBuf),
    /// A server on which two logins take turns; [`crate::Secret::server`] is its table.
    Server(&'static LoginServer),
    /// The access keys of an IAM user; [`crate::Secret::aws`] is its table.
    AwsAccessKey,
}

/// The fields of an access key, each with whether it is secret.
const AWS_FIELDS: &[(&str, bool)] = &[("access_key_id", false), ("secret_access_key", true)];

/// As it is written in keyroll.toml, with a path resolved.
impl fmt::Display for IssuerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(name) => write!(f, "{name}"),
            Self::SpecFile(path) => write!(f, "file:{}", path.display()),
            Self::Server(server) => f.write_str(server.word),
            Self::AwsAccessKey => f.write_str(AWS_ACCESS_KEY),
        }
    }
}

impl IssuerRef {
    /// The fields of a secret whose table does not declare them, each with whether it is secret.
    pub fn usual_fields(&self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Server(server) => server.fields,
            Self::AwsAccessKey => AWS_FIELDS,
            Self::Shipped(_) | Self::SpecFile(_) => &[("value", true)],
        }
    }

    /// The server, if the issuer is one.
    pub fn server(&self) -> Option<&'static LoginServer> {
        match self {
            Self::Server(server) => Some(server),
            Self::Shipped(_) | Self::SpecFile(_) | Self::AwsAccessKey => None,
        }
    }

    /// The word of the access keys of an IAM user.
    pub fn aws_word() -> &'static str {
        AWS_ACCESS_KEY
    }

    /// The words of all servers on which two logins take turns.
    pub fn server_words() -> Vec<&'static str> {
        SERVERS.iter().map(|server| server.word).collect()
    }

    /// A host with a port where it is not 443. Whether the issuer has a host to replace shows when its spec is read.
    pub(crate) fn host(&self, text: Option<&At<String>>) -> Result<Option<String>, Mistake> {
        let Some(text) = text else { return Ok(None) };
        if !matches!(self, Self::Shipped(_)) {
            let why =
                "`issuer_host` goes with the name of a shipped spec; a spec of your own has the host in it";
            return Err(Mistake::new(Kind::BadCombination, why).at(&text.span));
        }
        let (name, port) = text.value.split_once(':').unwrap_or((&text.value, "443"));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let sound = !name.is_empty() && name.len() <= HOST_BYTES_MAX && name.bytes().all(plain);
        if !sound || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(Mistake::new(
                Kind::WrongForm,
                "`issuer_host` is a host name in lower case, without https://",
            )
            .at(&text.span)
            .help("such as issuer_host = \"acme.okta.com\", or with a port, \"gitlab.acme.example:8443\""));
        }
        Ok(Some(text.value.clone()))
    }

    pub(crate) fn read(folder: &Path, text: &At<String>, reading: Reading) -> Result<Self, Mistake> {
        if let Some(path) = text.value.strip_prefix("file:") {
            let path = At { value: path.to_owned(), span: text.span.clone() };
            return resolve(folder, "issuer", &path).map(Self::SpecFile);
        }
        if text.value == AWS_ACCESS_KEY {
            return Ok(Self::AwsAccessKey);
        }
        if let Some(server) = login_server(&text.value) {
            return Ok(Self::Server(server));
        }
        match Name::new(text.value.as_str()) {
            Some(name) if reading == Reading::Former || is_shipped(name.as_str()) => Ok(Self::Shipped(name)),
            Some(_) | None => Err(unknown(text)),
        }
    }
}

/// The mistake of a name that no issuer has; it suggests those that were most likely meant.
fn unknown(text: &At<String>) -> Mistake {
    let near = meant(&text.value);
    let help = match near.as_slice() {
        [] => format!(
            "write `{}`, `{AWS_ACCESS_KEY}`, the name of a shipped spec such as `openrouter`, or `file:./own-spec.toml`; \
             keyroll issuers list shows the issuers",
            IssuerRef::server_words().join("`, `")
        ),
        near => did_you_mean(near),
    };
    foreign("issuer", text, &help).unwrap_or_else(|| {
        Mistake::new(Kind::WrongForm, "`issuer`: keyroll has no issuer of this name")
            .at(&text.span)
            .help(help)
    })
}
