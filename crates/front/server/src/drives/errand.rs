//! What a driver is started for, and the words of its command.

use keyroll_secret::SecretBytes;

/// What a driver is started for.
pub(crate) enum Errand {
    /// To begin an emergency, with a value that somebody brought.
    Begin(Option<SecretBytes>),
    /// To go on with an open rotation, as an emergency.
    Resume(String),
    /// To contain this incident of the secret.
    Contain(String),
    /// To begin what is due, or to go on with this rotation of it.
    Due(Option<String>),
    /// To do what an operator asked for.
    Operate(Operate),
}

impl Errand {
    /// Its work, the value that somebody brought, and the rotation that is known to be open.
    pub(super) fn parts(self) -> (Work, Option<SecretBytes>, Option<String>) {
        let emergency = |incident| Work::Emergency { incident };
        match self {
            Self::Begin(value) => (emergency(None), value, None),
            Self::Resume(id) => (emergency(None), None, Some(id)),
            Self::Contain(incident) => (emergency(Some(incident)), None, None),
            Self::Due(id) => (Work::Due, None, id),
            Self::Operate(operate) => (Work::Operate(operate), None, None),
        }
    }
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operate {
    /// The rotation; that of a plan has the plan's id.
    pub(crate) rotation: String,
    pub(crate) step: Step,
}

/// What is done with the rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its plan is applied, and these pending changes are accepted.
    Apply(Vec<String>),
    /// It goes on, and these pending changes are accepted.
    Resume(Vec<String>),
    /// It goes on, with the consent to revoke the old key, which tokens approved.
    Consent,
    /// The same by one who may decide it alone: whoever may write the object that the secret is declared by. What the consent
    /// says.
    Confirm(String),
    /// The step at which it is stuck or paused is retried.
    Retry,
    /// It rolls back.
    Abort,
}

impl Step {
    /// What the command of a terminal is called.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Apply(_) => "apply",
            Self::Resume(_) | Self::Consent | Self::Confirm(_) => "resume",
            Self::Retry => "retry",
            Self::Abort => "abort",
        }
    }

    /// What is consented to with it.
    pub(crate) fn consents(&self) -> Option<&'static str> {
        match self {
            Self::Apply(accept) | Self::Resume(accept) if !accept.is_empty() => Some("--accept"),
            Self::Consent | Self::Confirm(_) => Some("--confirm"),
            Self::Apply(_) | Self::Resume(_) | Self::Retry | Self::Abort => None,
        }
    }
}

/// What a driver does, as often as it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// An emergency, or the containment of this incident.
    Emergency {
        incident: Option<String>,
    },
    Due,
    Operate(Operate),
}

impl Work {
    /// It asks nobody to make way, and makes way for an emergency at once.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Emergency { .. } => false,
            Self::Due | Self::Operate(_) => true,
        }
    }

    /// What the operator asked for.
    pub(super) fn operate(&self) -> Option<&Operate> {
        match self {
            Self::Operate(operate) => Some(operate),
            Self::Emergency { .. } | Self::Due => None,
        }
    }

    /// It rolls back. The list of the next server says only which rotation goes on, so this is in it once its driver has
    /// said its rotation: else the next server would go forward.
    pub(super) fn is_back(&self) -> bool {
        self.operate().is_some_and(|operate| operate.step == Step::Abort)
    }

    /// The words of the command. `rotation`: the one that it said it drives. `brings`: it gets a value by stdin.
    pub(super) fn words(&self, secret: &str, rotation: Option<&str>, brings: bool) -> Vec<String> {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
        match (self, rotation) {
            (Self::Due, Some(id)) => words(&["resume", id]),
            (Self::Due, None) => words(&["due", "--apply", secret]),
            (Self::Operate(operate), begun) => operate.words(secret, begun.is_some()),
            (Self::Emergency { .. }, _) if brings => words(&["emergency", secret, "--value-stdin"]),
            (Self::Emergency { .. }, Some(id)) => words(&["emergency", secret, &format!("--rotation={id}")]),
            (Self::Emergency { incident: Some(id) }, None) => {
                words(&["incident", "contain", id, "--roll-first", "--by-alert"])
            }
            (Self::Emergency { incident: None }, None) => words(&["emergency", secret]),
        }
    }
}

impl Operate {
    fn words(&self, secret: &str, begun: bool) -> Vec<String> {
        let (verb, options) = match (&self.step, begun) {
            (Step::Apply(accept), false) => ("apply", accepts(accept)),
            (Step::Resume(accept), false) => ("resume", accepts(accept)),
            // What was accepted is in the journal.
            (Step::Apply(_) | Step::Resume(_) | Step::Retry, true) => ("resume", Vec::new()),
            (Step::Retry, false) => ("retry", Vec::new()),
            (Step::Consent | Step::Confirm(_), _) => ("resume", vec![format!("--confirm={secret}")]),
            // Also where it rolls back already: forward would be wrong if its first driver was killed too early.
            (Step::Abort, _) => ("abort", Vec::new()),
        };
        [verb.to_owned(), self.rotation.clone()].into_iter().chain(options).collect()
    }

    /// Whether a driver that does this does what the other asks for, too.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        self.rotation == other.rotation
            && match (&self.step, &other.step) {
                (Step::Abort, Step::Abort)
                | (Step::Consent | Step::Confirm(_), Step::Consent | Step::Confirm(_))
                | (Step::Retry, Step::Retry) => true,
                (Step::Apply(has), Step::Apply(wants) | Step::Resume(wants))
                | (Step::Resume(has), Step::Resume(wants)) => wants.iter().all(|name| has.contains(name)),
                // It began, so there is nothing to apply.
                (Step::Resume(_) | Step::Consent | Step::Confirm(_) | Step::Retry, Step::Apply(_)) => true,
                (Step::Consent | Step::Confirm(_) | Step::Retry, Step::Resume(wants)) => wants.is_empty(),
                (
                    Step::Apply(_) | Step::Resume(_),
                    Step::Consent | Step::Confirm(_) | Step::Retry | Step::Abort,
                )
                | (Step::Consent | Step::Confirm(_), Step::Retry | Step::Abort)
                | (Step::Retry, Step::Consent | Step::Confirm(_) | Step::Abort)
                | (
                    Step::Abort,
                    Step::Apply(_) | Step::Resume(_) | Step::Consent | Step::Confirm(_) | Step::Retry,
                ) => false,
            }
    }
}

fn accepts(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("--accept={name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operate(step: Step) -> Operate {
        Operate { rotation: "01a2".to_owned(), step }
    }

    /// The consent of one who decides alone, to the end of the old key with a consumer waived.
    fn confirm() -> Step {
        Step::Confirm("01a2/5f3c9d10".to_owned())
    }

    #[test]
    fn each_errand_has_its_command_and_goes_on_with_its_rotation() {
        let accept = vec!["PORT".to_owned()];
        for (work, first, then) in [
            (Work::Due, "due --apply db", "resume 01a2"),
            (Work::Emergency { incident: None }, "emergency db", "emergency db --rotation=01a2"),
            (
                Work::Emergency { incident: Some("3f".to_owned()) },
                "incident contain 3f --roll-first --by-alert",
                "emergency db --rotation=01a2",
            ),
            (Work::Operate(operate(Step::Apply(accept.clone()))), "apply 01a2 --accept=PORT", "resume 01a2"),
            (Work::Operate(operate(Step::Resume(accept))), "resume 01a2 --accept=PORT", "resume 01a2"),
            (Work::Operate(operate(Step::Consent)), "resume 01a2 --confirm=db", "resume 01a2 --confirm=db"),
            // The command goes by the secret: what the text names is compared before it starts.
            (Work::Operate(operate(confirm())), "resume 01a2 --confirm=db", "resume 01a2 --confirm=db"),
            (Work::Operate(operate(Step::Retry)), "retry 01a2", "resume 01a2"),
            (Work::Operate(operate(Step::Abort)), "abort 01a2", "abort 01a2"),
        ] {
            let words = |rotation| work.words("db", rotation, false).join(" ");
            assert_eq!((words(None).as_str(), words(Some("01a2")).as_str()), (first, then));
        }
        let brings = Work::Emergency { incident: None };
        assert_eq!(brings.words("db", Some("01a2"), true).join(" "), "emergency db --value-stdin");
    }

    #[test]
    fn a_request_that_is_being_done_is_not_begun_again() {
        let (none, port) = (Vec::new, || vec!["PORT".to_owned()]);
        for (does, asked, same) in [
            (Step::Apply(none()), Step::Apply(none()), true),
            (Step::Apply(none()), Step::Apply(port()), false),
            (Step::Apply(port()), Step::Resume(none()), true),
            (Step::Resume(none()), Step::Resume(port()), false),
            (Step::Consent, Step::Resume(none()), true),
            (Step::Resume(none()), Step::Consent, false),
            (Step::Apply(none()), Step::Abort, false),
            (Step::Abort, Step::Resume(none()), false),
            (Step::Retry, Step::Resume(none()), true),
            (Step::Resume(none()), Step::Retry, false),
            (Step::Abort, Step::Abort, true),
            (confirm(), confirm(), true),
            (confirm(), Step::Consent, true),
            (Step::Consent, confirm(), true),
            (confirm(), Step::Apply(port()), true),
            (confirm(), Step::Resume(none()), true),
            (confirm(), Step::Resume(port()), false),
            (Step::Apply(none()), confirm(), false),
            (Step::Resume(none()), confirm(), false),
            (confirm(), Step::Retry, false),
            (Step::Retry, confirm(), false),
            (confirm(), Step::Abort, false),
            (Step::Abort, confirm(), false),
        ] {
            assert_eq!(operate(does.clone()).includes(&operate(asked.clone())), same, "{does:?} {asked:?}");
        }
        let other = Operate { rotation: "02".to_owned(), step: Step::Abort };
        assert!(!operate(Step::Abort).includes(&other));
    }

    #[test]
    fn a_consent_is_asked_for_as_a_terminal_would_give_it() {
        for step in [Step::Consent, confirm()] {
            assert_eq!((step.word(), step.consents()), ("resume", Some("--confirm")), "{step:?}");
        }
        for step in [Step::Resume(Vec::new()), Step::Retry, Step::Abort] {
            assert_eq!(step.consents(), None, "{step:?}");
        }
    }
}
