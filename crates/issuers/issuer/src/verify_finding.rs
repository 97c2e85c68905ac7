use keyroll_port::{Failure, FailureKind, Probe};
use keyroll_secret::{Credential, Fields, SecretBytes};

use crate::registry::{NO_HOST, Spec};
use crate::runner::{Runner, cause};

/// What an issuer said about a value that a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyReply {
    /// The issuer answered: this is the verdict.
    Answered(Probe),
    /// The issuer wants fewer requests (429). The reason, for the operator.
    TooMany(String),
    /// The issuer could not be asked or did not answer. The reason, for the operator.
    Silent(String),
}

impl Spec {
    /// The rules of `keyroll leaks`, by id, whose findings this spec's issuer can be asked about.
    pub fn rules(&self) -> &[String] {
        &self.document().op.verify.rules
    }

    /// Who else accepts values of the same form. A value that this issuer refuses may still work there.
    pub fn elsewhere(&self) -> Option<&str> {
        self.document().op.verify.elsewhere.as_deref()
    }

    /// The host that is asked, `name:port`; `None` if the spec names no real host.
    pub fn asked_at(&self) -> Option<String> {
        let host = &self.document().op.verify.request.url.host;
        (!host.name.ends_with(NO_HOST)).then(|| host.endpoint())
    }

    /// Whether a value has the form of this issuer's keys, which begin with a text of their own.
    pub fn is_form_of(&self, value: &SecretBytes) -> bool {
        let form = self.document().sole_field().and_then(|name| self.document().fields.get(name));
        form.is_some_and(|form| !form.prefix.is_empty()) && self.unaskable(value).is_none()
    }

    /// The credential with this value, if its issuer says by `op.identify` which of its keys that is.
    pub fn self_identified(&self, value: &SecretBytes) -> Option<Credential> {
        self.document().op.identify.as_ref()?;
        let mut fields = Fields::new();
        fields.insert(self.document().sole_field()?, value.duplicate(), true);
        Some(Credential { id: None, fields })
    }

    /// Why the issuer must not be asked about a value, as a clause that shows no part of the value.
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
    pub async fn ask(&self, value: SecretBytes) -> VerifyReply {
        let (Some(name), Some(_)) = (self.document().sole_field(), self.spec().asked_at()) else {
            return VerifyReply::Silent("its spec does not say how".to_owned());
        };
        let mut fields = Fields::new();
        fields.insert(name, value, true);
        match self.verdict(&Credential { id: None, fields }).await {
            Ok(probe) => VerifyReply::Answered(probe),
            Err(failure) => told(&failure),
        }
    }
}

fn told(failure: &Failure) -> VerifyReply {
    let why = cause(failure);
    if failure.kind == FailureKind::RateLimited {
        return VerifyReply::TooMany(why);
    }
    // The issuer answered, and the answer proves nothing.
    let answered = failure.kind == FailureKind::AnswerUnclear;
    if answered { VerifyReply::Answered(Probe::Unknown(why)) } else { VerifyReply::Silent(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another key could be revoked where the issuer does not say itself which key a value is.
    #[test]
    fn only_an_issuer_that_says_whose_a_value_is_identifies_it() {
        let value = SecretBytes::from("glpat-".to_owned() + "Qd7fK2pLr9XvT4mZb8Wn");
        for name in Spec::names() {
            let spec = Spec::shipped(name).unwrap();
            let says = spec.document().op.identify.is_some() && spec.document().sole_field().is_some();
            assert_eq!(spec.self_identified(&value).is_some(), says, "{name}");
            assert_eq!(spec.is_form_of(&value), name == "gitlab", "{name}");
        }
        assert!(Spec::shipped("gitlab").unwrap().self_identified(&value).is_some());
        assert!(
            Spec::names()
                .into_iter()
                .any(|name| Spec::shipped(name).unwrap().self_identified(&value).is_none())
        );
    }
}
