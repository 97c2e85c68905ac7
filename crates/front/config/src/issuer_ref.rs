use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_logins::{LoginServer, SERVERS, login_server};

use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::reference::foreign;
use crate::{Kind, Name};

/// The issuer of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerRef {
    /// A spec that is shipped with keyroll, by its name.
    Shipped(Name),
    /// A spec of the operator's own.
    SpecFile(PathBuf),
    /// A server on which two logins take turns; [`crate::Secret::server`] is its table.
    Server(&'static LoginServer),
}

/// As it is written in keyroll.toml, with a path resolved.
impl fmt::Display for IssuerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(name) => write!(f, "{name}"),
            Self::SpecFile(path) => write!(f, "file:{}", path.display()),
            Self::Server(server) => f.write_str(server.word),
        }
    }
}

impl IssuerRef {
    /// The fields of a secret whose table does not declare them, each with whether it is secret.
    pub fn usual_fields(&self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Server(server) => server.fields,
            Self::Shipped(_) | Self::SpecFile(_) => &[("value", true)],
        }
    }

    /// The server, if the issuer is one.
    pub fn server(&self) -> Option<&'static LoginServer> {
        match self {
            Self::Server(server) => Some(server),
            Self::Shipped(_) | Self::SpecFile(_) => None,
        }
    }

    /// The words of all servers on which two logins take turns.
    pub fn server_words() -> Vec<&'static str> {
        SERVERS.iter().map(|server| server.word).collect()
    }

    pub(crate) fn read(folder: &Path, text: &At<String>) -> Result<Self, Mistake> {
        let help = format!(
            "write `{}`, the name of a shipped spec such as `openrouter`, or `file:./own-spec.toml`",
            Self::server_words().join("`, `")
        );
        if let Some(path) = text.value.strip_prefix("file:") {
            let path = At { value: path.to_owned(), span: text.span.clone() };
            return resolve(folder, "issuer", &path).map(Self::SpecFile);
        }
        if let Some(server) = login_server(&text.value) {
            return Ok(Self::Server(server));
        }
        Name::new(text.value.as_str()).map(Self::Shipped).ok_or_else(|| {
            foreign("issuer", text, &help).unwrap_or_else(|| {
                Mistake::new(Kind::WrongForm, "`issuer` is not the name of a spec").at(&text.span).help(help)
            })
        })
    }
}
