use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};

use crate::DocumentError;

/// The next step where the outcome of a write is open, or nothing was answered.
pub(crate) const AGAIN: &str = "keyroll looks what is there before it goes on: an open rotation by itself, any other command when it is run again";

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
