use std::error::Error;
use std::fmt;

use keyroll_codes::Code;

/// What kind of mistake a configuration holds; each has a code and a page under docs/errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The file cannot be read, or is too large.
    Unreadable,
    /// Not TOML.
    Syntax,
    /// A key that keyroll does not know.
    UnknownKey,
    /// A value of the wrong type, or a key that is missing.
    WrongForm,
    /// A name outside `[a-z0-9._-]`.
    BadName,
    /// A store, reference or issuer kind that is recognised and not supported.
    Unsupported,
    /// A length of time that is not of the form `30m`.
    BadPeriod,
    /// A path that does not have one clear meaning.
    BadPath,
    /// The same thing is declared twice.
    Duplicate,
    /// A host that is not defined or cannot be reached by this version.
    BadHost,
    /// A placeholder that names nothing.
    BadPlaceholder,
    /// Keys that do not go together.
    BadCombination,
    /// A version of the format other than 1.
    BadVersion,
    /// An edit of the file that cannot be made.
    BadEdit,
    /// A pattern that is not a regular expression.
    BadPattern,
}

impl Kind {
    /// The code of the page under docs/errors.
    pub fn code(self) -> Code {
        match self {
            Self::Unreadable => Code::ConfigUnreadable,
            Self::Unsupported | Self::BadHost | Self::BadVersion => Code::ConfigUnsupported,
            Self::BadEdit => Code::ConfigNotWritten,
            Self::Syntax
            | Self::UnknownKey
            | Self::WrongForm
            | Self::BadName
            | Self::BadPeriod
            | Self::BadPath
            | Self::Duplicate
            | Self::BadPlaceholder
            | Self::BadCombination
            | Self::BadPattern => Code::ConfigInvalid,
        }
    }
}

/// A position in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The position of a byte offset; an offset past the end means the end.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before: String =
            text.char_indices().take_while(|(index, _)| *index < offset).map(|(_, c)| c).collect();
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()).saturating_add(1);
        Self { line, column }
    }
}

/// A configuration that was refused: where, why, and what to do; the first mistake of the file, with the further ones. None of
/// them repeats a value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    kind: Kind,
    file: String,
    message: String,
    at: Option<Position>,
    help: Option<String>,
    rest: Option<Box<Rest>>,
}

/// The further mistakes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest {
    listed: Vec<ConfigError>,
    left_off: usize,
}

impl ConfigError {
    pub(crate) fn new(
        kind: Kind,
        file: &str,
        message: impl Into<String>,
        at: Option<Position>,
        help: Option<String>,
    ) -> Self {
        Self { kind, file: file.to_owned(), message: message.into(), at, help, rest: None }
    }

    /// The same mistake, with those that come after it in the file. `left_off`: how many more there are.
    pub(crate) fn with_further(self, listed: Vec<Self>, left_off: usize) -> Self {
        Self {
            rest: Some(Box::new(Rest { listed, left_off })).filter(|rest| !rest.listed.is_empty()),
            ..self
        }
    }

    /// The kind of mistake.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The code of the page under docs/errors, such as `K0004`.
    pub fn code(&self) -> Code {
        self.kind.code()
    }

    /// The file as it was named by the caller.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The message without its position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The position, if there is one.
    pub fn position(&self) -> Option<Position> {
        self.at
    }

    /// The operator's next step, if there is one.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The mistakes that come after this one in the file, in its order; none of them has others.
    pub fn further(&self) -> &[Self] {
        self.rest.as_ref().map_or(&[], |rest| &rest.listed)
    }

    /// How many mistakes the file has beyond those that are listed.
    pub fn left_off(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.left_off)
    }
}

/// `keyroll.toml:12:3: unknown key …`, without the further mistakes.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}:{}:{}: {}", self.file, at.line, at.column, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl Error for ConfigError {}
