//! Where the wrapping of the sealing key comes from: a reference, never a value.

use std::path::PathBuf;

use keyroll_codes::Code;

use crate::exit::Exit;
use crate::problem::Problem;

/// What the sealing key is wrapped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// With nothing: anybody who can read the file has the key.
    Bare,
    /// A key in another file, for example on a removable medium.
    File(PathBuf),
    /// A credential of the systemd unit that this process runs in.
    Credential(String),
    /// A pipe of this process, by its descriptor: the output of a program that fetches a key.
    Pipe(u32),
    /// A passphrase that the operator types at the terminal.
    Passphrase,
}

impl Source {
    /// Parses a reference. An error does not repeat the text: it may be the value itself.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| {
            Problem::new(Code::SealingKeyNotUnwrapped, "read the source of the sealing key's wrapping")
                .because(why)
                .help("write file, file:PATH, credential:NAME, fd:NUMBER or passphrase")
                .exits(Exit::Usage)
        };
        match text.split_once(':') {
            None if text == "file" => Ok(Self::Bare),
            None if text == "passphrase" => Ok(Self::Passphrase),
            Some(("file", path)) if !path.is_empty() => {
                std::path::absolute(path).map(Self::File).map_err(|error| wrong(&error.to_string()))
            }
            Some(("credential", name)) if is_credential(name) => Ok(Self::Credential(name.to_owned())),
            Some(("credential", _)) => {
                Err(wrong("the name of a credential has only letters, digits, . _ and -"))
            }
            Some(("fd", number)) => match number.parse() {
                // Descriptors 0 to 2 are stdin, stdout and stderr, which have other uses.
                Ok(number @ 3..) => Ok(Self::Pipe(number)),
                Ok(0..3) | Err(_) => Err(wrong("the number of the descriptor must be 3 or more")),
            },
            Some(_) | None => Err(wrong("it is not a reference")),
        }
    }

    /// What the key's file records, to find the wrapping again where that is possible.
    pub(crate) fn recorded(&self) -> String {
        match self {
            Self::Bare => "file".to_owned(),
            Self::File(path) => format!("file:{}", path.display()),
            Self::Credential(name) => format!("credential:{name}"),
            Self::Pipe(_) => "fd".to_owned(),
            Self::Passphrase => "passphrase".to_owned(),
        }
    }
}

/// Whether systemd accepts a name for a credential, and the name does not lead out of the folder.
fn is_credential(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}
