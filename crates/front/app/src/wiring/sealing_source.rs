//! Where the wrapping of the sealing key comes from: a reference, never a value.

use std::path::PathBuf;

use keyroll_codes::Code;

use crate::exit::Exit;
use crate::problem::Problem;

/// What the sealing key is wrapped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// With nothing: whoever can read the file has the key.
    Bare,
    /// A key in another file, for example on a removable medium.
    File(PathBuf),
    /// A credential of the systemd unit that this process runs in.
    Credential(String),
    /// A pipe that was opened for this process, by its descriptor: from a program that fetches a key.
    Pipe(u32),
    /// What a person types at the terminal.
    Passphrase,
}

impl Source {
    /// Reads a reference. What is none is not repeated: it may be the value itself.
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
                // 0 to 2 are a person's, and carry values in and answers out.
                Ok(number @ 3..) => Ok(Self::Pipe(number)),
                Ok(0..3) | Err(_) => Err(wrong("the number of the descriptor must be 3 or more")),
            },
            Some(_) | None => Err(wrong("it is not a reference")),
        }
    }

    /// What the file remembers: enough to find the wrapping again, where that is possible.
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

/// Names that systemd takes for a credential, and that stay in its folder.
fn is_credential(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}
