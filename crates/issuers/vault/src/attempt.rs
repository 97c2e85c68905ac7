use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};

/// The next step where the outcome of a change is open, or nothing was answered.
const AGAIN: &str = "keyroll looks what is there before it goes on: an open rotation by itself, any other command when it is run again";

/// What an attempt does at Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It changes nothing.
    Read,
    /// It changes something.
    Change,
    /// It changes something, and its request has a value in it.
    ChangeWithValue,
}

/// The words of a failure that depend on what keyroll uses Vault for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// No connection, or no clear answer.
    pub unreachable: Code,
    /// No login, or a right is missing.
    pub access: Code,
    /// What is at the path, or the path itself, cannot be used.
    pub unsuitable: Code,
    /// The next step where a request is refused as invalid or unknown.
    pub state: &'static str,
}

impl Codes {
    /// Vault is the source of truth of a secret.
    pub const TRUTH: Self = Self {
        unreachable: Code::TruthUnreachable,
        access: Code::TruthAccess,
        unsuitable: Code::TruthUnsuitable,
        state: "look at the secret (`vault kv metadata get`), and at the path in `store`",
    };

    /// Vault changes the passwords of two logins.
    pub const ISSUER: Self = Self {
        unreachable: Code::RequestFailed,
        access: Code::AdminRefused,
        unsuitable: Code::IssuerSettingsInvalid,
        state: "look at the static role (`vault read MOUNT/static-roles/NAME`), and at `vault_roles` in keyroll.toml",
    };
}

/// One attempt, for the words of its failure.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What is attempted, as a verb with its object: `read the last version of`.
    pub what: &'static str,
    /// On what: `vault:kv/agents/openai#key (https://vault.example:8200)`.
    pub place: &'a str,
    /// What it does there.
    pub nature: Nature,
    /// The words of its failures.
    pub codes: &'static Codes,
}

impl Attempt<'_> {
    /// Its failure, without a cause and a next step yet.
    pub fn fail(&self, class: Class, code: Code) -> Failure {
        Failure::new(class, code, format!("{} {}", self.what, self.place))
    }

    /// The outcome of a change is open; a read had no effect.
    pub fn unclear(&self, why: String) -> Failure {
        let failure = self.fail(self.unsettled(), self.codes.unreachable);
        failure.kind(FailureKind::AnswerUnclear).because(why).help(AGAIN)
    }

    /// The failure for an exchange without a whole answer.
    pub(crate) fn not_answered(&self, error: &HttpError, help: &str) -> Failure {
        match error {
            HttpError::NotSent(_) | HttpError::TimedOut { sent: false } => {
                self.fail(Class::Retryable, self.codes.unreachable).because(error.clone()).help(help)
            }
            HttpError::NoRoots => {
                let failure = self.fail(Class::Permanent, self.codes.unreachable).because(error.clone());
                failure.help("install the package ca-certificates")
            }
            HttpError::Lost(_) | HttpError::TimedOut { sent: true } => self.unclear(error.to_string()),
        }
    }

    pub(crate) fn unsettled(&self) -> Class {
        match self.nature {
            Nature::Read => Class::Retryable,
            Nature::Change | Nature::ChangeWithValue => Class::Unknown,
        }
    }
}
