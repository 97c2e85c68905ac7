use std::error::Error;
use std::fmt;

use keyroll_codes::Code;

/// What is known about the effect of an attempt that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The attempt certainly had no effect, and may succeed later (429, connection refused).
    Retryable,
    /// The attempt certainly had no effect, and another one will not help (rights, a limit, bad input).
    Permanent,
    /// The attempt may have had its effect: only a look can tell (a lost answer, a time-out after sending).
    Unknown,
}

/// The kind of a failure, for callers that branch on it. A code is for people only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureKind {
    /// A failure that no caller distinguishes from others.
    #[default]
    Other,
    /// A command's program could not be started.
    ProgramNotStarted,
    /// This machine does not run the service manager or container engine.
    ManagerAbsent,
    /// The service manager or container engine lacks a feature that the call needs: another version, a missing plugin.
    ManagerUnsupported,
    /// The container or service is unknown, ambiguous, or not in a state for this.
    ServiceUnusable,
    /// The issuer limits the rate of requests.
    RateLimited,
    /// The issuer's answer does not show what happened.
    AnswerUnclear,
    /// The server refused a statement, or its answer was lost.
    StatementFailed,
    /// The store has this secret already.
    SecretExists,
    /// The store has another value for the same intent.
    OtherValue,
    /// The source of truth gives out a value that keyroll did not write.
    ChangedElsewhere,
    /// Somebody else has a pending version at the source of truth.
    PendingElsewhere,
    /// A credential that must be dead was not seen dead.
    StaysAlive,
    /// The caller named something that the program does not have.
    UsageWrong,
    /// The machine was not reached, or another one answers in its place.
    Unreached,
}

/// An attempt that did not succeed: what was attempted, on what, what is known about its effect, and the next step.
#[derive(Debug)]
pub struct Failure {
    /// What was attempted and on what, as a clause: `mint a key at https://openrouter.ai`.
    pub attempted: String,
    /// What is known about its effect.
    pub class: Class,
    /// The code of the page under docs/errors, such as [`Code::NoRoomForNewKey`].
    pub code: Code,
    /// The kind, for callers that branch on it.
    pub kind: FailureKind,
    /// The next command or step for a person, where there is one.
    pub help: Option<String>,
    /// The cause; a Display never repeats it.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without help or cause yet.
    pub fn new(class: Class, code: Code, attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), class, code, kind: FailureKind::Other, help: None, source: None }
    }

    /// Adds the cause. A message (`&str`, `String`) or an error. It must never hold a secret.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Sets the kind, for callers that branch on it.
    #[must_use]
    pub fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds the next step for a person.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.attempted)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
