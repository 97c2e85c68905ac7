use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::{Credential, SecretBytes};

use crate::attempt::{Attempt, Nature};
use crate::document::{Document, DocumentError};

/// The next step where another party changed the value.
const CHANGED: &str = "`keyroll secret drift` shows what it gives out; give out the expected value there again; or, if the new \
                       value was not given out yet, roll back, and then accept the other one with `keyroll secret import`";

/// One value of a store: what is read there, compared and refused, whatever the store is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// For people: `aws-sm:prod/vonage#KEY (eu-west-1)`.
    pub(crate) place: &'a str,
    /// The name of keyroll's field for the value.
    pub(crate) field: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'a> {
        Attempt { what, place: self.place, nature }
    }

    pub(crate) fn value_of(&self, document: &Document) -> Result<SecretBytes, Failure> {
        let attempt = self.attempt("read the value in", Nature::Read);
        document.value().map_err(|error| attempt.document(&error))
    }

    pub(crate) fn with(&self, document: &Document, value: &SecretBytes) -> Result<Document, Failure> {
        let attempt = self.attempt("write a value into", Nature::Change);
        document.with(value).map_err(|error| attempt.document(&error))
    }

    /// Refuses a document that has the value twice.
    pub(crate) fn once(&self, document: &Document) -> Result<(), Failure> {
        let attempt = self.attempt("replace the value in", Nature::Read);
        if document.holds_elsewhere() { Err(attempt.document(&DocumentError::Twice)) } else { Ok(()) }
    }

    /// The one value of a credential that the store holds.
    pub(crate) fn own<'c>(&self, credential: &'c Credential) -> Result<&'c SecretBytes, Failure> {
        let mut secrets = credential.fields.secrets();
        match (secrets.next(), secrets.next()) {
            (Some((name, value)), None) if name == self.field => Ok(value),
            _ => {
                let attempt = self.attempt("use", Nature::Read);
                let why = format!("the secret must have one secret field, {}", self.field);
                Err(attempt.fail(Class::Permanent, Code::TruthUnsuitable).because(why))
            }
        }
    }

    /// `version`: in words, the one that is given out.
    pub(crate) fn changed_elsewhere(&self, version: &str) -> Failure {
        let attempt = self.attempt("change the version that is given out by", Nature::Read);
        let failure = attempt.fail(Class::Permanent, Code::ChangedElsewhere);
        let why = format!("it gives out a value that keyroll does not expect: {version}");
        failure.kind(FailureKind::ChangedElsewhere).because(why).help(CHANGED)
    }

    /// After a change that was refused because another party's came first: what that one means.
    pub(crate) fn overtaken(
        &self,
        (value, version): (&SecretBytes, &str),
        before: &SecretBytes,
        after: &SecretBytes,
    ) -> Result<(), Failure> {
        if value == after {
            return Ok(());
        }
        if value != before {
            return Err(self.changed_elsewhere(version));
        }
        // The value is as it was, and something beside it is not: the next attempt begins from there.
        let attempt = self.attempt("change the version that is given out by", Nature::Change);
        let failure = attempt.fail(Class::Retryable, Code::TruthUnreachable);
        let why = format!("another party changed the secret at the same moment: {version}");
        Err(failure.because(why).help("run the same command again"))
    }

    /// After a change that was accepted: whether what is read back is the value that was given out.
    pub(crate) fn confirmed(
        &self,
        (value, version): (&SecretBytes, &str),
        before: &SecretBytes,
        after: &SecretBytes,
    ) -> Result<(), Failure> {
        if value == after {
            return Ok(());
        }
        if value == before {
            // The change was accepted, so this may be an answer from before it, and is no other party's value.
            let attempt = self.attempt("read back the version that is given out by", Nature::Change);
            return Err(attempt.unclear("it still gives out the value of before".to_owned()));
        }
        // It was given out for a moment: that is not an attempt without effect.
        Err(Failure { class: Class::Unknown, ..self.changed_elsewhere(version) })
    }
}
