use std::fmt;

use crate::{CopyError, Format};

/// The place of one value in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The whole file, but for one line end behind the value ([`Format::Whole`]).
    Whole,
    /// The variable of this name ([`Format::Dotenv`]).
    Variable(String),
    /// The text at this place of a tree, or at this key of a list of keys.
    At(Pointer),
    /// One part of the line or entry of this name ([`Format::Pgpass`], [`Format::Netrc`],
    /// [`Format::GitCredentials`]).
    Entry {
        /// The entry: `host:port:database[:user]`, a machine, or `https://[user@]host[/path]`.
        name: String,
        /// Which part of it.
        part: Part,
    },
}

/// Which part of an entry stands in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The name that one logs in by.
    User,
    /// What one logs in with.
    Password,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the whole file"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::At(pointer) => write!(f, "the value at {}", pointer.text),
            Self::Entry { name, part: Part::User } => write!(f, "the user of {name}"),
            Self::Entry { name, part: Part::Password } => write!(f, "the password of {name}"),
        }
    }
}

/// The way to a value: the steps of a JSON pointer (RFC 6901), `/models/openai/apiKey`.
///
/// In a list a step is a number from 0, or `[name=ci]` for the one table whose `name` is `ci`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer; it has one step at least.
    pub fn parse(text: &str) -> Result<Self, CopyError> {
        let wrong = |why| CopyError::Pointer { at: text.to_owned(), why };
        let Some(rest) = text.strip_prefix('/') else {
            return Err(wrong("it begins with /, as in /models/openai/apiKey"));
        };
        let steps = rest.split('/').map(|step| unescaped(step).ok_or(())).collect::<Result<_, ()>>();
        let steps = steps.map_err(|()| wrong("~ is written ~0, and / in a name ~1"))?;
        Ok(Self { text: text.to_owned(), steps })
    }

    /// One step more than the text of a pointer has.
    pub(crate) fn behind(text: &str, step: &str) -> String {
        format!("{text}/{}", step.replace('~', "~0").replace('/', "~1"))
    }

    /// The pointer to one key, whatever it is written with.
    pub(crate) fn key(name: &str) -> Self {
        Self { text: name.to_owned(), steps: vec![name.to_owned()] }
    }

    /// The names on the way, without escapes.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

fn unescaped(step: &str) -> Option<String> {
    let mut out = String::with_capacity(step.len());
    let mut chars = step.chars();
    while let Some(c) = chars.next() {
        match (c, c == '~') {
            (c, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                Some(_) | None => return None,
            },
        }
    }
    Some(out)
}

impl Format {
    /// The slot that `at` names in such a file; a part is of an entry alone, and the password unless it is said.
    pub fn slot(self, at: &str, part: Option<Part>) -> Result<Slot, CopyError> {
        let pointed = |pointer: Result<Pointer, CopyError>| match part {
            None => Ok(Slot::At(pointer?)),
            Some(_) => {
                Err(CopyError::Pointer { at: at.to_owned(), why: "such a file has no entries with parts" })
            }
        };
        match self {
            Self::Json | Self::Yaml | Self::Compose | Self::Toml | Self::Ini => pointed(Pointer::parse(at)),
            Self::Npmrc => pointed(Ok(Pointer::key(at))),
            Self::Pgpass | Self::Netrc | Self::GitCredentials => {
                Ok(Slot::Entry { name: at.to_owned(), part: part.unwrap_or(Part::Password) })
            }
            Self::Dotenv => Ok(Slot::Variable(at.to_owned())),
            Self::Whole => Err(CopyError::Pointer { at: at.to_owned(), why: "the file is one value" }),
        }
    }
}
