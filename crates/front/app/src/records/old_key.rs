//! The state of the old key as shown to the operator: on, off since when, ended, or unknown.

pub use keyroll_inventory::clock;
use keyroll_port::Recorded;
use keyroll_rotation::{Aim, Fact, OldKey, Op, Outcome, Phase, Seq, State};

use crate::operator::OldKeyShown;

/// Derived from the journal alone, without a call to the issuer.
pub fn seen(recorded: &Recorded, state: &State) -> OldKeyShown {
    let switched = |op: &Op| matches!(op, Op::Disable | Op::Enable | Op::Revoke);
    let in_question = state.intents().iter().any(|intent| switched(&intent.op));
    if state.debt().is_some() {
        return OldKeyShown { state: "perhaps on", since: None };
    }
    match state.old_key() {
        // An effect without an outcome may have changed it.
        _ if in_question => OldKeyShown { state: "unknown", since: None },
        OldKey::On if state.must_enable() => OldKeyShown { state: "perhaps off", since: None },
        OldKey::On => OldKeyShown { state: "on", since: None },
        OldKey::Off(_) => OldKeyShown { state: "off", since: since(recorded, &Op::Disable) },
        OldKey::Ended => OldKeyShown { state: "ended", since: since(recorded, &Op::Revoke) },
    }
}

/// True if the old key is disabled, or may be by an effect without a known outcome, and may be needed.
pub fn may_be_off(state: &State) -> bool {
    let in_question = || state.intents().iter().any(|intent| matches!(intent.op, Op::Disable | Op::Enable));
    state.must_enable() || (!state.decided() && in_question())
}

/// What the operator must know of a pause that enabled the old key again.
pub const ENABLED_AGAIN: &str =
    "the old key is enabled again; after resume keyroll disables it again, and the soak begins anew";

/// True if the old key was disabled and is enabled again since the rotation was last resumed.
pub fn is_enabled_again(recorded: &Recorded, state: &State) -> bool {
    if state.ended() || state.phase() == Phase::RollingBack || state.old_key() != OldKey::On {
        return false;
    }
    let resumed = recorded.events.iter().rposition(|event| matches!(event.fact, Fact::Resumed));
    let done = done_at(recorded, &Op::Enable);
    done.is_some_and(|at| resumed.is_none_or(|resumed| at > resumed))
}

/// The keys that exist now, in a sentence.
pub fn keys(recorded: &Recorded, state: &State) -> String {
    let old = match (state.plan().aim, seen(recorded, state).state) {
        (_, "unknown") => "unknown whether the old key is enabled".to_owned(),
        (Aim::Replace, its) => format!("the old key is {its}"),
        (Aim::Part | Aim::End, its) => format!("the shared key is {its}"),
    };
    let new = match (state.plan().aim, state.new_version()) {
        (Aim::End, _) => "each consumer has its own",
        (Aim::Replace | Aim::Part, Some(_)) => "the new one was made",
        (Aim::Replace | Aim::Part, None) if mint_in_doubt(state) => "unknown whether a new one was made",
        (Aim::Replace | Aim::Part, None) if !state.abandoned().is_empty() => {
            "an unneeded new one must be revoked"
        }
        (Aim::Replace | Aim::Part, None) => "no new one was made",
    };
    format!("{old}, {new}")
}

/// True if a mint without a known outcome may have made a key.
fn mint_in_doubt(state: &State) -> bool {
    state.intents().iter().any(|open| matches!(open.op, Op::Mint | Op::DeleteOrphan(_)))
}

/// When an operation last succeeded.
fn since(recorded: &Recorded, op: &Op) -> Option<String> {
    recorded.unix_ms.get(done_at(recorded, op)?).copied().map(clock)
}

/// The place of the entry that records the last success of an operation.
fn done_at(recorded: &Recorded, op: &Op) -> Option<usize> {
    let mut begun: Vec<Seq> = Vec::new();
    let mut last = None;
    for ((at, event), seq) in recorded.events.iter().enumerate().zip(1..) {
        if matches!(&event.fact, Fact::Intended(intended) if intended == op) {
            begun.push(seq);
        }
        let Fact::Ended { intent, outcome: Outcome::Done(_) } = &event.fact else { continue };
        if begun.contains(intent) {
            last = Some(at);
        }
    }
    last
}

/// A wall-clock time in Unix seconds, as [`clock`] shows it.
pub fn clock_s(unix_s: u64) -> String {
    clock(unix_s.saturating_mul(1_000))
}

/// The Unix seconds of a time as [`clock`] shows it; none for another text.
pub fn unix_s(shown: &str) -> Option<u64> {
    let at: jiff::Timestamp = shown.parse().ok()?;
    u64::try_from(at.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_as_it_is_shown_is_read() {
        assert_eq!(unix_s("1970-01-02 00:00:01Z"), Some(86_401));
        assert_eq!([unix_s(""), unix_s("1969-12-31 23:59:59Z")], [None, None]);
        assert_eq!(unix_s(&clock_s(1_800_000_000)), Some(1_800_000_000));
    }
}
