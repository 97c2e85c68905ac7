use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::{Credential, SecretBytes};

use crate::DocumentError;

/// The next step where the outcome of a write is open, or nothing was answered.
pub(crate) const AGAIN: &str = "keyroll looks what is there before it goes on: run `keyroll resume` for an open rotation, or the same command again";

/// The next step where another party changed the value.
pub(crate) const CHANGED: &str = "`keyroll secret drift` shows what it gives out; give out the expected value there again, \
                                  then `keyroll retry`; or, if the new value was not given out yet, `keyroll abort`, then \
                                  accept the other one with `keyroll secret import`";

/// What an attempt does at the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Read,
    Change,
    /// A change whose request has a value in it: nothing of the answer's text is shown.
    ChangeWithValue,
}

/// One attempt, for the words of its failure.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// What is attempted, as a verb with its object: `read the current version of`.
    pub(crate) what: &'static str,
    /// On what: `aws-sm:prod/vonage#KEY (eu-west-1)`.
    pub(crate) place: &'a str,
    pub(crate) nature: Nature,
}

impl Attempt<'_> {
    pub(crate) fn fail(&self, class: Class, code: Code) -> Failure {
        Failure::new(class, code, format!("{} {}", self.what, self.place))
    }

    /// The failure for a document that cannot be used. Nothing was changed.
    pub(crate) fn document(&self, error: &DocumentError) -> Failure {
        self.fail(Class::Permanent, error.code()).because(error.to_string()).help(error.help())
    }

    /// The outcome of a change is open; a read had no effect.
    pub(crate) fn unclear(&self, why: String) -> Failure {
        let failure = self.fail(self.unsettled(), Code::TruthUnreachable);
        failure.kind(FailureKind::AnswerUnclear).because(why).help(AGAIN)
    }

    /// The failure for an exchange without a whole answer.
    pub(crate) fn not_answered(&self, error: &HttpError, help: &str) -> Failure {
        match error {
            HttpError::NotSent(_) | HttpError::TimedOut { sent: false } => {
                self.fail(Class::Retryable, Code::TruthUnreachable).because(error.clone()).help(help)
            }
            HttpError::NoRoots => {
                let failure = self.fail(Class::Permanent, Code::TruthUnreachable).because(error.clone());
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

/// The one value of a credential that a store holds.
pub(crate) fn own<'a>(
    attempt: &Attempt<'_>,
    field: &str,
    credential: &'a Credential,
) -> Result<&'a SecretBytes, Failure> {
    let mut secrets = credential.fields.secrets();
    match (secrets.next(), secrets.next()) {
        (Some((name, value)), None) if name == field => Ok(value),
        _ => {
            let why = format!("the secret must have one secret field, {field}");
            Err(attempt.fail(Class::Permanent, Code::TruthUnsuitable).because(why))
        }
    }
}
