//! What is known of the old key's switch, for people: on, off since when, ended, or not known.

use keyroll_port::Recorded;
use keyroll_rotation::{Aim, Fact, OldKey, Op, Outcome, Seq, State};

use crate::ui::OldKeyShown;

/// Derived from the journal alone: nothing is asked of the issuer.
pub(crate) fn seen(recorded: &Recorded, state: &State) -> OldKeyShown {
    let switched = |op: &Op| matches!(op, Op::Disable | Op::Enable | Op::Revoke);
    let in_question = state.intents().iter().any(|intent| switched(&intent.op));
    if state.debt().is_some() {
        return OldKeyShown { state: "perhaps on", since: None };
    }
    match state.old_key() {
        // A step without an outcome may have changed it.
        _ if in_question => OldKeyShown { state: "unknown", since: None },
        OldKey::On if state.must_enable() => OldKeyShown { state: "perhaps off", since: None },
        OldKey::On => OldKeyShown { state: "on", since: None },
        OldKey::Off(_) => OldKeyShown { state: "off", since: since(recorded, &Op::Disable) },
        OldKey::Ended => OldKeyShown { state: "ended", since: since(recorded, &Op::Revoke) },
    }
}

/// Whether the old key is off, or may be by a switch nobody saw the outcome of, and somebody may need it.
pub(crate) fn may_be_off(state: &State) -> bool {
    let in_question = || state.intents().iter().any(|intent| matches!(intent.op, Op::Disable | Op::Enable));
    state.must_enable() || (!state.decided() && in_question())
}

/// Which keys there are where it stands, in a sentence.
pub(crate) fn keys(recorded: &Recorded, state: &State) -> String {
    let old = match (state.plan().aim, seen(recorded, state).state) {
        (_, "unknown") => "whether the old key is on is not known".to_owned(),
        (Aim::Replace, its) => format!("the old key is {its}"),
        (Aim::Part | Aim::End, its) => format!("the shared key is {its}"),
    };
    let new = match (state.plan().aim, state.new_version()) {
        (Aim::End, _) => "each consumer has its own",
        (Aim::Replace | Aim::Part, Some(_)) => "the new one was made",
        (Aim::Replace | Aim::Part, None) if mint_in_doubt(state) => "whether a new one was made is not known",
        (Aim::Replace | Aim::Part, None) if !state.abandoned().is_empty() => {
            "a new one that is not needed any more is to be ended"
        }
        (Aim::Replace | Aim::Part, None) => "no new one was made",
    };
    format!("{old}, {new}")
}

/// Whether a key may be at the issuer of which nobody saw the answer.
fn mint_in_doubt(state: &State) -> bool {
    state.intents().iter().any(|open| matches!(open.op, Op::Mint | Op::DeleteOrphan(_)))
}

/// When an operation was last seen done.
fn since(recorded: &Recorded, op: &Op) -> Option<String> {
    let mut begun: Vec<Seq> = Vec::new();
    let mut last = None;
    for ((event, unix_ms), seq) in recorded.events.iter().zip(&recorded.unix_ms).zip(1..) {
        if matches!(&event.fact, Fact::Intended(intended) if intended == op) {
            begun.push(seq);
        }
        let Fact::Ended { intent, outcome: Outcome::Done(_) } = &event.fact else { continue };
        if begun.contains(intent) {
            last = Some(*unix_ms);
        }
    }
    last.map(clock)
}

/// A wall clock's time, for people.
pub(crate) fn clock(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}
