use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use keyroll_secret::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::{Accepted, Outcome, Verification};

/// The length of an identity, bytes: with a million findings two are equal with probability 2^-88.
const IDENTITY_BYTES: usize = 16;

/// The identity of a finding, wherever it is: a keyed hash of the value and its kind. It does not depend on line
/// numbers, so it survives edits. It reveals nothing about the value, so it may be stored and sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(String);

impl Identity {
    /// The identity with this keyed hash.
    pub fn of(fingerprint: &Fingerprint) -> Self {
        let bytes = fingerprint.as_bytes().iter().take(IDENTITY_BYTES);
        Self(bytes.map(|byte| format!("{byte:02x}")).collect())
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses an identity.
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

/// A version of a secret that keyroll stores or stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretVersion {
    /// The secret's name.
    pub secret: String,
    /// v1, v2 …
    pub number: u64,
    /// Its present state.
    pub state: &'static str,
    /// Whether it was retired: the finding is a dead leak.
    pub retired: bool,
}

/// The kind of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A value that keyroll stores.
    Known(SecretVersion),
    /// A value with the format, name or position of a credential.
    Kind {
        /// The rule's id.
        rule: String,
        /// The title, for people.
        title: String,
        /// The issuer, if the rule names one.
        provider: Option<String>,
    },
}

/// Whether a found value works, as far as keyroll knows by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakState {
    /// A pending, current or previous version.
    Live,
    /// A retired version.
    Retired,
    /// Unknown to keyroll.
    Unknown,
}

impl LeakState {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retired => "retired",
            Self::Unknown => "unknown",
        }
    }
}

impl FindingKind {
    /// The rule's id; for a known value the secret's name.
    pub fn rule(&self) -> &str {
        match self {
            Self::Known(version) => &version.secret,
            Self::Kind { rule, .. } => rule,
        }
    }

    /// Whether the value works, as far as keyroll knows by itself.
    pub fn state(&self) -> LeakState {
        match self {
            Self::Known(version) if version.retired => LeakState::Retired,
            Self::Known(_) => LeakState::Live,
            Self::Kind { .. } => LeakState::Unknown,
        }
    }
}

/// A position in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1 on.
    pub line: u64,
    /// In characters, from 1 on.
    pub column: u64,
}

/// The location of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingPlace {
    /// The host, if several machines were scanned.
    pub host: Option<String>,
    /// The source if it is not a file: `stdin`, `image NAME`.
    pub source: Option<String>,
    /// `None` for a stream.
    pub path: Option<PathBuf>,
    /// The path within archives, outermost first.
    pub inside: Vec<String>,
    /// Its first character.
    pub start: Position,
    /// After its last character.
    pub end: Position,
    /// The commits with the finding, in a history.
    pub commit: Option<Commit>,
}

/// The commits of a history that have a finding at one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Commit {
    /// The first one, its hash in hexadecimal.
    pub first: String,
    /// Its author: `name <address>`; unverified.
    pub author: String,
    /// Its author date, seconds since 1970.
    pub first_s: i64,
    /// The last one.
    pub last: String,
    /// Its committer date, seconds since 1970.
    pub last_s: i64,
    /// Whether the commit at HEAD has it.
    pub in_head: bool,
}

/// A leaked secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Equal for the same value and rule.
    pub identity: Identity,
    /// Its kind.
    pub what: FindingKind,
    /// Its name, if nothing else identifies it; `None` if the name may be a value itself.
    pub name: Option<String>,
    /// Its encoding, for a known value: `base64` …
    pub form: Option<Cow<'static, str>>,
    /// Its location.
    pub place: FindingPlace,
    /// The acceptance; `None` for an open finding.
    pub accepted: Option<Accepted>,
    /// Why an acceptance that somebody wrote does not count.
    pub remark: Option<String>,
    /// The result of asking the issuer.
    pub asked: Option<Verification>,
}

impl Finding {
    /// Whether the operator must act on it.
    pub fn is_open(&self) -> bool {
        self.accepted.is_none()
    }

    /// Whether its value is known to work: then it must be replaced, and cannot be accepted.
    pub fn opens(&self) -> bool {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.outcome == Outcome::Active);
        asked || self.what.state() == LeakState::Live
    }

    /// Records the issuer's result. An active value loses its acceptance, because the person who accepted it did not
    /// know that it works.
    pub fn tell(&mut self, asked: Verification) {
        self.asked = Some(asked);
        if let Some(accepted) = self.accepted.take() {
            self.accept(accepted);
        }
    }

    /// Accepts it, unless its value is known to work; then records why not.
    pub fn accept(&mut self, accepted: Accepted) {
        match self.opens() {
            true => self.remark = Some(accepted.void()),
            false => self.accepted = Some(accepted),
        }
    }
}
