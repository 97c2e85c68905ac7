//! Why a rotation stands still, in words, and how it goes on.

use keyroll_rotation::{
    Event, Fact, Hold, Incarnation, Life, Person, Phase, Reason, State, Want, step, wants,
};

use super::called::Called;
/// What a rotation waits for at Decide.
pub(crate) const CONSENT: &str = "the end of the old key needs your consent";

/// What a person is waited for, if that is all that stands in its way, and the command that goes on. Derived from the
/// state alone, and so the same after a restart.
pub(crate) fn awaited(state: &State, id: &str, secret: &str) -> Option<(String, String)> {
    let consent = || (CONSENT.to_owned(), format!("keyroll resume {id} --confirm={secret}"));
    if state.hold() == Some(Hold::Paused(Reason::Consent)) {
        return Some(consent());
    }
    wants(state).into_iter().find_map(|want| match want {
        Want::Person(Person::Consent(_)) => Some(consent()),
        Want::Person(_) | Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => {
            at_the_console(&want, id)
        }
    })
}

/// What a person does at the issuer's console, and the command that goes on after it.
fn at_the_console(want: &Want, id: &str) -> Option<(String, String)> {
    match want {
        Want::Person(Person::MintByHand) => Some((
            "a person makes the new key at the issuer's console".to_owned(),
            format!("keyroll resume {id}, at a terminal, or with --value-file FILE or --value-stdin"),
        )),
        Want::Person(Person::RevokeByHand) => Some((
            "a person ends the old key at the issuer's console".to_owned(),
            format!("keyroll resume {id} --revoked-by-hand"),
        )),
        Want::Person(Person::Consent(_)) | Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => {
            None
        }
    }
}

/// What a rotation that a person has paused waits for at the console: as long as it stands nothing is wanted of anybody.
fn behind_the_pause(state: &State, id: &str) -> Option<(String, String)> {
    let resumed = Event { at: state.now(), fact: Fact::Resumed };
    let (next, _) = step(state, &resumed).ok()?;
    wants(&next).iter().find_map(|want| at_the_console(want, id))
}

/// The command that continues it, with what has to be said to it.
pub(crate) fn command(state: &State, hold: Hold, id: &str) -> String {
    match hold {
        Hold::Paused(Reason::Unaccepted(_)) => {
            let accept = |one: &keyroll_rotation::Difference| format!(" --accept {}", quoted(&one.name));
            let accepted: String = state.refused().iter().map(accept).collect();
            format!("keyroll resume {id}{accepted}")
        }
        Hold::Paused(Reason::Asked) => match behind_the_pause(state, id) {
            Some((what, command)) => format!("{command} ({what})"),
            None => format!("keyroll resume {id}"),
        },
        Hold::Paused(_) => format!("keyroll resume {id}"),
        Hold::Stuck(_) => format!("keyroll retry {id}"),
    }
}

/// A name as a word of a shell.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.:@-".contains(&byte);
    if name.bytes().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// What comes before resuming, where resuming alone would stand still again.
pub(crate) fn way_out(reason: Reason) -> Option<String> {
    match reason {
        Reason::Holder(Incarnation { life: Life::Process { pid, .. }, .. }) => {
            let adopt = format!("keyroll consumer adopt {pid} --name NAME --restart COMMAND");
            Some(format!("{adopt}, or keyroll consumer waive {pid} --reason WHY; then "))
        }
        Reason::Stranger(_) => {
            let adopt = "keyroll consumer adopt PATH --name NAME";
            Some(format!("{adopt}, or keyroll consumer waive PATH --reason WHY; then "))
        }
        Reason::Asked
        | Reason::Holder(_)
        | Reason::Foreign(_)
        | Reason::Unreadable(_)
        | Reason::RefusedUse
        | Reason::Consent
        | Reason::Unit(_)
        | Reason::Unaccepted(_)
        | Reason::Failed(_)
        | Reason::Overdue(_)
        | Reason::Drifting
        | Reason::UnknownLabel(_)
        | Reason::Unclear(_) => None,
    }
}

/// Which of the two keys is to end: on the way back it is the new one.
fn leaving(state: &State) -> &'static str {
    if state.phase() == Phase::RollingBack { "new" } else { "old" }
}

/// Why it stands still, for a person.
pub(crate) fn reason_text(called: &Called, state: &State, reason: Reason) -> String {
    match reason {
        Reason::Asked => "it was asked to pause (Ctrl-C, a signal, --until, or another command)".to_owned(),
        Reason::Holder(who) => match who.life {
            Life::Process { pid, .. } => {
                format!("process {pid} holds the {} value and nobody explains it", leaving(state))
            }
            Life::AtRest(_) => {
                format!("something at rest holds the {} value and nobody explains it", leaving(state))
            }
        },
        Reason::Stranger(_) => {
            let why = format!("a file that no consumer names holds the {} value", leaving(state));
            called.apart().map_or_else(|| why.clone(), |moved| format!("{why}; {moved}"))
        }
        Reason::Foreign(file) => {
            format!("{} holds what neither keyroll nor the plan put there", called.file(file))
        }
        Reason::Unreadable(file) => format!("{} cannot be read", called.file(file)),
        // The journal has one entry for both: somebody fails without the old key.
        Reason::RefusedUse if called.has_gate() => {
            "while the old key was disabled the error rate of the gate rose, \
             or the key was used: it is on again"
                .to_owned()
        }
        Reason::RefusedUse => "the old key was used while it was disabled: it is on again".to_owned(),
        Reason::Consent => CONSENT.to_owned(),
        Reason::Unit(consumer) if !state.plan().aim.makes_new() => {
            format!("{} is not on its own key, or has not shown it", called.consumer(consumer))
        }
        Reason::Unit(consumer) => {
            let back = state.phase() != Phase::RollingBack;
            let end = if back { "" } else { " back" };
            format!("{} did not take the value{end}", called.consumer(consumer))
        }
        Reason::Unaccepted(consumer) => {
            let names: Vec<&str> = state.refused().iter().map(|one| one.name.as_ref()).collect();
            format!(
                "a restart of {} would make more live than the value, and nothing was done: {}",
                called.consumer(consumer),
                names.join(", ")
            )
        }
        Reason::Failed(phase) => format!("{} failed", word(phase)),
        Reason::Overdue(phase) => format!("{} did not end in time", word(phase)),
        Reason::Drifting => "copies or instances fall back to the old value again and again".to_owned(),
        Reason::UnknownLabel(_) => {
            "the issuer has a key with a label that this journal does not know: it was restored from a backup"
                .to_owned()
        }
        Reason::Unclear(intent) => format!("what became of step {intent} cannot be told"),
    }
}

/// A phase in the word that is printed as it begins.
fn word(phase: Phase) -> &'static str {
    self::phase(phase).map_or("its end", crate::ui::Phase::word)
}

/// The word for a phase that is gone through; none for an end.
pub(crate) fn phase(phase: Phase) -> Option<crate::ui::Phase> {
    Some(match phase {
        Phase::Preflight => crate::ui::Phase::Preflight,
        Phase::Mint => crate::ui::Phase::Mint,
        Phase::Stage => crate::ui::Phase::Stage,
        Phase::Probe => crate::ui::Phase::Probe,
        Phase::Roll => crate::ui::Phase::Roll,
        Phase::Quiesce => crate::ui::Phase::Quiesce,
        Phase::Disable => crate::ui::Phase::Disable,
        Phase::Soak => crate::ui::Phase::Soak,
        Phase::Decide => crate::ui::Phase::Decide,
        Phase::Revoke => crate::ui::Phase::Revoke,
        Phase::ConfirmDead => crate::ui::Phase::ConfirmDead,
        Phase::Sweep => crate::ui::Phase::Sweep,
        Phase::RollingBack => crate::ui::Phase::RollingBack,
        Phase::Done | Phase::RolledBack => return None,
    })
}

/// Whether a rotation that stands still waits for more than the word to go on.
pub(crate) fn needs_person(hold: Hold) -> bool {
    !matches!(hold, Hold::Paused(Reason::Asked | Reason::Unit(_)))
}
