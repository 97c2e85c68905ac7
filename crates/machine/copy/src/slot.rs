use std::fmt;

use crate::CopyError;

/// The place of one value in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The whole file, except one line end after the value ([`crate::Format::Whole`]).
    Whole,
    /// The variable of this name ([`crate::Format::Dotenv`]).
    Variable(String),
    /// The text at this place of a tree, or at this key of a list of keys.
    At(Pointer),
    /// One part of the line or entry of this name ([`crate::Format::Pgpass`], [`crate::Format::Netrc`],
    /// [`crate::Format::GitCredentials`]).
    Entry {
        /// The entry: `host:port:database[:user]`, a machine, or `https://[user@]host[/path]`.
        name: String,
        /// The part of the entry.
        part: Part,
    },
}

/// A part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The user name of a login.
    User,
    /// The password of a login.
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

    /// A name as one step of a pointer's text.
    pub fn escaped(name: &str) -> String {
        name.replace('~', "~0").replace('/', "~1")
    }

    /// The pointer's text with one more step.
    pub fn behind(text: &str, step: &str) -> String {
        format!("{text}/{}", Self::escaped(step))
    }

    /// The pointer to one key; `/` and `~` in the key stand for themselves.
    pub(crate) fn key(name: &str) -> Self {
        Self { text: name.to_owned(), steps: vec![name.to_owned()] }
    }

    /// The names along the path, unescaped.
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
