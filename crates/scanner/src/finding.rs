use std::fmt;
use std::path::PathBuf;

use keyroll_secret::Fingerprint;

use crate::{Accepted, Asked, Outcome};

/// How many bytes of a keyed hash tell findings apart: two of a million are alike in one of 2^88 cases.
const IDENTITY_BYTES: usize = 16;

/// What makes a finding the same wherever it stands: a keyed hash of the value and of what it is. No line numbers, so that it
/// survives edits; nothing of the value, so that it may be kept and sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(String);

impl Identity {
    /// Of a fingerprint.
    pub fn of(fingerprint: &Fingerprint) -> Self {
        let bytes = fingerprint.as_bytes().iter().take(IDENTITY_BYTES);
        Self(bytes.map(|byte| format!("{byte:02x}")).collect())
    }

    /// As it is written: 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that was written; `None` for what is none.
    pub fn read(text: &str) -> Option<Self> {
        let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        (text.len() == 2 * IDENTITY_BYTES && text.bytes().all(digits)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a secret that keyroll keeps, or kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The secret's name.
    pub secret: String,
    /// v1, v2 …
    pub number: u64,
    /// What it is to its secret now.
    pub state: &'static str,
    /// Whether the issuer was told to end it: what is found is a dead leak.
    pub retired: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The value of a version that keyroll keeps.
    Known(Version),
    /// What has the form of a credential, or stands where one does.
    Kind {
        /// The rule's id.
        rule: String,
        /// What it is, for people.
        title: String,
        /// Who issues it, where the rule says so.
        provider: Option<String>,
    },
}

/// Whether what was found opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// A version that is pending, current or previous.
    Live,
    /// A version that was ended.
    Retired,
    /// Nobody was asked.
    Unknown,
}

impl State {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retired => "retired",
            Self::Unknown => "unknown",
        }
    }
}

impl What {
    /// The rule's id; of a known value the secret's name.
    pub fn rule(&self) -> &str {
        match self {
            Self::Known(version) => &version.secret,
            Self::Kind { rule, .. } => rule,
        }
    }

    /// Whether it opens anything, as far as keyroll knows by itself.
    pub fn state(&self) -> State {
        match self {
            Self::Known(version) if version.retired => State::Retired,
            Self::Known(_) => State::Live,
            Self::Kind { .. } => State::Unknown,
        }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1 on.
    pub line: u64,
    /// Characters, from 1 on.
    pub column: u64,
}

/// Where it was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it was read from where that is no file: `stdin`, `image NAME`.
    pub source: Option<String>,
    /// The file; none of a stream.
    pub path: Option<PathBuf>,
    /// The way to it within archives, outermost first.
    pub inside: Vec<String>,
    /// Where it begins.
    pub start: Position,
    /// Behind its last character.
    pub end: Position,
    /// The commits that had it, of what was found in a history.
    pub commit: Option<Commit>,
}

/// Which commits of a history had something under one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commit {
    /// The oldest that had it, its hash in hex.
    pub first: String,
    /// Who wrote that one, as it says: `name <address>`.
    pub author: String,
    /// When, seconds since 1970.
    pub first_s: i64,
    /// The newest that still had it.
    pub last: String,
    /// When it was committed, seconds since 1970.
    pub last_s: i64,
    /// Whether the commit that is checked out has it.
    pub in_head: bool,
}

/// A credential that got out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The same for the same value and rule.
    pub identity: Identity,
    /// What it is.
    pub what: What,
    /// The name that it stands under, where nothing else tells it; none where that may be a value itself.
    pub name: Option<String>,
    /// How it was written there, where it was a value that is known: `base64` …
    pub form: Option<&'static str>,
    /// Where it stands.
    pub place: Place,
    /// Who accepted it, and why; an open one was accepted by nobody.
    pub accepted: Option<Accepted>,
    /// Why an acceptance that was written does not count.
    pub remark: Option<String>,
    /// What its issuer says of it, where somebody wanted to know.
    pub asked: Option<Asked>,
}

impl Finding {
    /// Whether somebody has to do something about it.
    pub fn is_open(&self) -> bool {
        self.accepted.is_none()
    }

    /// Whether it is known to open something: then it is replaced, not accepted.
    pub fn opens(&self) -> bool {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.outcome == Outcome::Active);
        asked || self.what.state() == State::Live
    }

    /// Notes what its issuer says of it. Whoever accepted it before did not know that it opens something.
    pub fn tell(&mut self, asked: Asked) {
        self.asked = Some(asked);
        if let Some(accepted) = self.accepted.take() {
            self.accept(accepted);
        }
    }

    /// Accepts it, where it is not known to open something; else it says that this does not count.
    pub(crate) fn accept(&mut self, accepted: Accepted) {
        match self.opens() {
            true => self.remark = Some(accepted.void()),
            false => self.accepted = Some(accepted),
        }
    }
}
