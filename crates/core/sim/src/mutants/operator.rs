//! Mutants that invent the operator's events, or ignore them.

use keyroll_engine::{Action, Input};
use keyroll_rotation::{
    ConsumerId, Emergency, Event, Fact, Hold, Op, Outcome, Person, Phase, Query, Reason, State, Waived, Want,
    Which, consent_digest,
};

use crate::mutant::Mutant;

#[allow(clippy::ptr_arg, reason = "the form of the hook")]
fn ask_nobody(_: &State, wanted: &mut Vec<Want>) {
    for want in wanted.iter_mut() {
        if let Want::Person(Person::Consent(_)) = want {
            *want = Want::Ask(Query::LastUsed);
        }
    }
}

fn consent_assumed(state: &State, event: &mut Event) {
    let Some(digest) = consent_digest(state) else { return };
    let asked = keyroll_rotation::wants(state).contains(&Want::Person(Person::Consent(digest)));
    if asked && matches!(event.fact, Fact::LastUsed(_) | Fact::Clock) {
        event.fact = Fact::Consented(digest);
    }
}

/// The driver consents by itself.
pub(super) const CONSENT_ASSUMED: Mutant = Mutant {
    name: "consent assumed",
    sentence: "P-14",
    wants: ask_nobody,
    event: consent_assumed,
    ..Mutant::NONE
};

/// A consent stands for every rotation.
pub(super) const CONSENT_STANDS_ALWAYS: Mutant = Mutant {
    name: "consent stands always",
    sentence: "P-54",
    plan: |plan| plan.policy.standing_consent = true,
    ..Mutant::NONE
};

fn leak_ignored(_: &State, event: &mut Event) {
    if let Fact::Escalated { pending_compromised, .. } = &mut event.fact {
        *pending_compromised = false;
    }
}

/// A new value that leaked is rolled out all the same.
pub(super) const LEAK_IGNORED: Mutant =
    Mutant { name: "leak ignored", sentence: "P-22", event: leak_ignored, ..Mutant::NONE };

fn emergency_ignored(_: &State, event: &mut Event) {
    if let Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false } = event.fact {
        event.fact = Fact::Clock;
    }
}

/// An emergency does not end the rollback to a compromised value.
pub(super) const EMERGENCY_IGNORED: Mutant =
    Mutant { name: "emergency ignored", sentence: "P-20", event: emergency_ignored, ..Mutant::NONE };

fn waived_unasked(_: &State, event: &mut Event) {
    if event.fact == Fact::DriverStarted && event.at.epoch == 2 {
        return;
    }
    if event.fact == Fact::Clock {
        event.fact = Fact::Waived(Waived::NotVisible(ConsumerId(1)));
    }
}

/// An instance that is not visible counts without a waiver.
pub(super) const WAIVED_UNASKED: Mutant =
    Mutant { name: "waived unasked", sentence: "P-32", event: waived_unasked, ..Mutant::NONE };

fn late_emergency_ends_no_sessions(state: &State, wanted: &mut Vec<Want>) {
    let owed = Want::Do(Op::EndSessions);
    if state.phase() == Phase::Sweep && wanted.contains(&owed) {
        wanted.retain(|want| *want != owed);
        if wanted.is_empty() {
            wanted.push(Want::Do(Op::Retire(Which::Old)));
        }
    }
}

/// An emergency that is declared in the last step ends no sessions.
pub(super) const LATE_EMERGENCY_ENDS_NO_SESSIONS: Mutant = Mutant {
    name: "late emergency ends no sessions",
    sentence: "P-94",
    wants: late_emergency_ends_no_sessions,
    ..Mutant::NONE
};

fn left_switched_off(state: &State, wanted: &mut Vec<Want>) {
    if state.hold() == Some(Hold::Paused(Reason::Consent)) {
        wanted.clear();
    }
}

/// Without an operator to consent, the old key stays disabled.
pub(super) const LEFT_SWITCHED_OFF: Mutant =
    Mutant { name: "left disabled", sentence: "P-79", wants: left_switched_off, ..Mutant::NONE };

fn stuck_switched_off(state: &State, wanted: &mut Vec<Want>) {
    if let Some(Hold::Stuck(_)) = state.hold() {
        wanted.retain(|want| *want != Want::Do(Op::Enable));
    }
}

/// A stuck rotation leaves the old key disabled.
pub(super) const STUCK_SWITCHED_OFF: Mutant =
    Mutant { name: "stuck disabled", sentence: "P-84", wants: stuck_switched_off, ..Mutant::NONE };

/// A consumer that is not visible and waived counts as moved as soon as the move was intended.
pub(super) const WAIVED_IS_DELIVERED: Mutant = Mutant {
    name: "waived is delivered",
    sentence: "P-81",
    action: |state, action| {
        let Action::Carry { effect, .. } = action else { return None };
        let waived = |id: ConsumerId| state.waived().contains(&Waived::NotVisible(id));
        let of_waived = match &effect.op {
            Op::Deliver(file, Which::New) => {
                let readers = (0u16..).zip(&state.plan().consumers);
                readers.filter(|(_, it)| it.files.contains(file)).all(|(at, _)| waived(ConsumerId(at)))
            }
            _ => false,
        };
        of_waived.then_some(Input::Ended { intent: effect.intent, outcome: Outcome::Done(None) })
    },
    ..Mutant::NONE
};
