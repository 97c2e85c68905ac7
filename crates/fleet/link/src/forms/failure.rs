use std::error::Error as _;

use keyroll_codes::Code;
use keyroll_port::{Failure, FailureKind};
use serde::{Deserialize, Serialize};

use super::limits::{heard, sent};
use super::numbers::ClassForm;

/// The most causes of a failure.
const CAUSES_MAX: usize = 32;

/// An attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureForm {
    /// What was attempted and on what.
    pub attempted: String,
    /// What is known about its effect.
    pub class: ClassForm,
    /// The number of the page under docs/errors.
    pub code: String,
    /// The kind, in a word.
    pub kind: String,
    /// The next step for a person.
    pub help: Option<String>,
    /// The cause, its cause, and so on.
    pub causes: Vec<String>,
}

/// A cause that a host named.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    /// Why.
    text: String,
    /// And why that.
    source: Option<Box<Cause>>,
}

impl From<&Failure> for FailureForm {
    fn from(failure: &Failure) -> Self {
        let (mut causes, mut next) = (Vec::new(), failure.source());
        while let Some(cause) = next {
            if causes.len() < CAUSES_MAX {
                causes.push(sent(&cause.to_string()));
            }
            next = cause.source();
        }
        Self {
            attempted: sent(&failure.attempted),
            class: failure.class.into(),
            code: failure.code.as_str().to_owned(),
            kind: word(failure.kind).to_owned(),
            help: failure.help.as_deref().map(sent),
            causes,
        }
    }
}

impl FailureForm {
    /// The failure. A code or kind that this version does not know is [`Code::InternalError`] or
    /// [`FailureKind::Other`]; the class decides what is done next. What is too long is cut: a failure is never lost.
    pub fn into_port(self) -> Failure {
        let causes = self.causes.iter().take(CAUSES_MAX).rev();
        let source = causes.fold(None, |source, text| Some(Box::new(Cause { text: heard(text), source })));
        let kind = KINDS.into_iter().find(|kind| word(*kind) == self.kind);
        let code = Code::parse(&self.code).unwrap_or(Code::InternalError);
        let mut failure = Failure::new(self.class.into(), code, heard(&self.attempted));
        failure.kind = kind.unwrap_or_default();
        failure.help = self.help.as_deref().map(heard);
        match source {
            Some(cause) => failure.because(*cause),
            None => failure,
        }
    }
}

/// Every kind.
const KINDS: [FailureKind; 14] = [
    FailureKind::Other,
    FailureKind::ProgramNotStarted,
    FailureKind::ManagerAbsent,
    FailureKind::ManagerUnsupported,
    FailureKind::ServiceUnusable,
    FailureKind::RateLimited,
    FailureKind::AnswerUnclear,
    FailureKind::StatementFailed,
    FailureKind::SecretExists,
    FailureKind::OtherValue,
    FailureKind::ChangedElsewhere,
    FailureKind::PendingElsewhere,
    FailureKind::StaysAlive,
    FailureKind::UsageWrong,
];

/// The word of a kind in a frame; it is never given another meaning.
fn word(kind: FailureKind) -> &'static str {
    match kind {
        // A host that answers was reached: none can say that it was not.
        FailureKind::Other | FailureKind::Unreached => "other",
        FailureKind::ProgramNotStarted => "program_not_started",
        FailureKind::ManagerAbsent => "manager_absent",
        FailureKind::ManagerUnsupported => "manager_unsupported",
        FailureKind::ServiceUnusable => "service_unusable",
        FailureKind::RateLimited => "rate_limited",
        FailureKind::AnswerUnclear => "answer_unclear",
        FailureKind::StatementFailed => "statement_failed",
        FailureKind::SecretExists => "secret_exists",
        FailureKind::OtherValue => "other_value",
        FailureKind::ChangedElsewhere => "changed_elsewhere",
        FailureKind::PendingElsewhere => "pending_elsewhere",
        FailureKind::StaysAlive => "stays_alive",
        FailureKind::UsageWrong => "usage_wrong",
    }
}

/// Whether a text is the word of a kind.
pub(crate) fn is_kind(text: &str) -> bool {
    KINDS.into_iter().any(|kind| word(kind) == text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keyroll_port::Class;

    use super::*;
    use crate::forms::TEXT_BYTES_MAX;

    fn chain(failure: &Failure) -> Vec<String> {
        let (mut all, mut next) = (Vec::new(), failure.source());
        while let Some(cause) = next {
            all.push(cause.to_string());
            next = cause.source();
        }
        all
    }

    #[test]
    fn a_failure_has_each_of_its_causes_once_on_the_other_side() {
        let within =
            Failure::new(Class::Permanent, Code::InternalError, "open /srv/api.env").because("no such file");
        let failure = Failure::new(Class::Unknown, Code::NameNotFound, "replace /srv/api.env")
            .kind(FailureKind::ChangedElsewhere)
            .help("keyroll resume")
            .because(within);
        let form = FailureForm::from(&failure);
        assert_eq!(form.causes, ["could not open /srv/api.env", "no such file"]);
        let written = serde_json::to_string(&form).unwrap();
        let read = serde_json::from_str::<FailureForm>(&written).unwrap();
        assert_eq!(read, form);
        let heard = read.into_port();
        assert_eq!(chain(&heard), form.causes);
        assert_eq!((heard.class, heard.code, heard.kind), (failure.class, failure.code, failure.kind));
        assert_eq!((&heard.attempted, &heard.help), (&failure.attempted, &failure.help));
        assert_eq!(FailureForm::from(&heard), form);
    }

    #[test]
    fn each_kind_has_a_word_of_its_own_and_comes_back() {
        let words: BTreeSet<&str> = KINDS.into_iter().map(word).collect();
        assert_eq!(words.len(), KINDS.len());
        for kind in KINDS {
            let form =
                FailureForm::from(&Failure::new(Class::Retryable, Code::InternalError, "x").kind(kind));
            assert!(is_kind(&form.kind) && form.into_port().kind == kind, "{kind:?}");
        }
    }

    #[test]
    fn what_a_later_host_says_of_a_failure_does_not_change_its_class() {
        let form = FailureForm {
            attempted: "x".to_owned(),
            class: ClassForm::Unknown,
            code: "K9999".to_owned(),
            kind: "a_later_kind".to_owned(),
            help: None,
            causes: Vec::new(),
        };
        let failure = form.into_port();
        assert_eq!((failure.class, failure.code), (Class::Unknown, Code::InternalError));
        assert_eq!(failure.kind, FailureKind::Other);
        assert!(failure.source.is_none());
    }

    #[test]
    fn a_failure_with_endless_texts_and_causes_is_cut() {
        let long = || "x".repeat(1 << 20);
        let form = FailureForm {
            attempted: long(),
            class: ClassForm::Permanent,
            code: long(),
            kind: long(),
            help: Some(long()),
            causes: vec![long(); 1_000],
        };
        let failure = form.into_port();
        let causes = chain(&failure);
        assert_eq!(causes.len(), CAUSES_MAX);
        for text in causes.iter().chain([&failure.attempted]).chain(&failure.help) {
            assert!(text.len() <= TEXT_BYTES_MAX + "…".len(), "{} bytes", text.len());
        }
    }
}
