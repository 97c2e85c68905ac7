use keyroll_port::{Failure, FailureKind, Probe};
use keyroll_secret::{Credential, Fields, SecretBytes};

use crate::registry::Spec;
use crate::runner::{Runner, cause};

/// Names that no host ever has (RFC 2606): such a spec is to be copied first.
const NO_HOST: &str = ".example";

/// What an issuer said of a value that somebody found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It answered, and this follows from the answer.
    Answered(Probe),
    /// It wants to be asked less often (429). Why, for people.
    TooMany(String),
    /// It could not be asked, or did not answer. Why, for people.
    Silent(String),
}

impl Spec {
    /// The rules of `keyroll leaks`, by id, whose findings this spec's issuer can be asked about.
    pub fn rules(&self) -> &[String] {
        &self.document().op.verify.rules
    }

    /// Who else accepts values of the same form: one that is refused here may work there.
    pub fn elsewhere(&self) -> Option<&str> {
        self.document().op.verify.elsewhere.as_deref()
    }

    /// Where such a question goes, `name:port`; `None` where the spec names no host that there is.
    pub fn asked_at(&self) -> Option<String> {
        let host = &self.document().op.verify.request.url.host;
        (!host.name.ends_with(NO_HOST)).then(|| host.endpoint())
    }

    /// What speaks against asking about a value, as a clause without any part of it.
    pub fn unaskable(&self, value: &SecretBytes) -> Option<String> {
        let Some(name) = self.document().sole_field() else {
            return Some("is not all that its issuer wants to be asked with".to_owned());
        };
        let form = self.document().fields.get(name)?;
        match value.is_empty() {
            true => Some("is empty".to_owned()),
            false => crate::shape::fault(value.expose(), form),
        }
    }
}

impl Runner {
    /// Asks once whether a value that was found works, by `op.verify` and as a rotation asks: on a new connection, without
    /// following a redirect, within the spec's time. The value goes to the spec's host alone.
    pub async fn ask(&self, value: SecretBytes) -> Told {
        let (Some(name), Some(_)) = (self.document().sole_field(), self.spec().asked_at()) else {
            return Told::Silent("its spec does not say how".to_owned());
        };
        let mut fields = Fields::new();
        fields.insert(name, value, true);
        match self.verdict(&Credential { id: None, fields }).await {
            Ok(probe) => Told::Answered(probe),
            Err(failure) => told(&failure),
        }
    }
}

fn told(failure: &Failure) -> Told {
    let why = cause(failure);
    if failure.kind == FailureKind::RateLimited {
        return Told::TooMany(why);
    }
    // It answered, and the answer settles nothing.
    let answered = failure.kind == FailureKind::AnswerUnclear;
    if answered { Told::Answered(Probe::Unknown(why)) } else { Told::Silent(why) }
}
