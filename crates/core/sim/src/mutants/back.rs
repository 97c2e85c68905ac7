//! Mutants of the rollback, of emergencies and of debts.

use keyroll_engine::{Action, Input};
use keyroll_rotation::{
    Emergency, Event, Fact, ListedState, OldKey, Op, Outcome, Phase, ProbeResult, Query, State, UnitStep,
    Want, Which,
};

use super::evidence::{ALL_KINDS, proofs};
use crate::mutant::Mutant;

fn word_stands(state: &State, event: &mut Event) {
    let said = state.old_key() == OldKey::Ended && !state.decided();
    if let Fact::Probed { version: Which::Old, answer, .. } = &mut event.fact
        && matches!(answer, ProbeResult::Alive | ProbeResult::Denied)
        && said
    {
        *answer = ProbeResult::Unknown;
    }
}

/// A key of which an operator said that it was revoked counts as revoked, whatever probes say.
pub(super) const WORD_STANDS: Mutant =
    Mutant { name: "word stands", sentence: "P-152", event: word_stands, ..Mutant::NONE };

fn back_unproven(state: &State, event: &mut Event) {
    if state.phase() == Phase::RollingBack {
        proofs(event, |proof| proof.paths.fill(ALL_KINDS()));
    }
}

/// The new credential is deleted although no instance was proven on the old one.
pub(super) const BACK_UNPROVEN: Mutant =
    Mutant { name: "rollback unproven", sentence: "P-18", event: back_unproven, ..Mutant::NONE };

fn alive_once(state: &State, event: &mut Event) {
    let back = |unit: &keyroll_rotation::Unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled;
    if state.phase() != Phase::RollingBack || !state.units().iter().all(back) {
        return;
    }
    match &mut event.fact {
        Fact::Probed { version: Which::Old, answer, .. } => *answer = ProbeResult::Alive,
        Fact::Listed { old, .. } if *old == ListedState::Gone => *old = ListedState::On,
        _ => {}
    }
}

/// The old key was alive when the rollback began: it is not probed again before the new one is deleted.
pub(super) const ALIVE_ONCE: Mutant =
    Mutant { name: "alive once is alive", sentence: "P-19", event: alive_once, ..Mutant::NONE };

/// A rollback deletes the new key, whatever else uses it.
pub(super) const NEW_USE_UNASKED: Mutant = Mutant {
    name: "new key's use unasked",
    sentence: "P-195",
    plan: |plan| plan.protocol = 16,
    ..Mutant::NONE
};

#[allow(clippy::ptr_arg, reason = "the form of the hook")]
fn look_from_memory(state: &State, wanted: &mut Vec<Want>) {
    let before = state.look().is_some();
    for want in wanted.iter_mut().filter(|_| before && state.phase() == Phase::Revoke) {
        if *want == Want::Ask(Query::Enumerate) {
            *want = Want::Ask(Query::LastUsed);
        }
    }
}

fn old_look_counts(state: &State, event: &mut Event) {
    if let (Phase::Revoke, Fact::LastUsed(_), Some(look)) = (state.phase(), &event.fact, state.look()) {
        event.fact = Fact::Enumerated((*look.seen).clone());
    }
}

/// A debt counts as paid because of a look that is older than it.
pub(super) const DEBT_UNLOOKED: Mutant = Mutant {
    name: "debt paid unlooked",
    sentence: "P-21",
    wants: look_from_memory,
    event: old_look_counts,
    ..Mutant::NONE
};

#[allow(clippy::ptr_arg, reason = "the form of the hook")]
fn look_of_before(state: &State, wanted: &mut Vec<Want>) {
    if state.look().is_some_and(|look| look.at.epoch == state.now().epoch) {
        look_from_memory(state, wanted);
    }
}

/// An instance that started since a failed Revoke is not looked for.
pub(super) const REVOKE_UNLOOKED: Mutant = Mutant {
    name: "revoke again unlooked",
    sentence: "P-15",
    wants: look_of_before,
    event: old_look_counts,
    ..Mutant::NONE
};

fn now_is_later(_: &State, event: &mut Event) {
    if let Fact::Escalated { mode, .. } = &mut event.fact {
        *mode = Emergency::RollFirst;
    }
}

/// *Revoke now* moves every consumer first.
pub(super) const NOW_IS_LATER: Mutant =
    Mutant { name: "revoke now is later", sentence: "P-23", event: now_is_later, ..Mutant::NONE };

fn emergency_waits(state: &State, event: &mut Event) {
    if state.phase() == Phase::RollingBack && matches!(event.fact, Fact::Escalated { .. }) {
        event.fact = Fact::Clock;
    }
}

/// An emergency waits for the rollback to end.
pub(super) const EMERGENCY_WAITS: Mutant =
    Mutant { name: "emergency waits", sentence: "P-57", event: emergency_waits, ..Mutant::NONE };

fn accepted_is_dead(state: &State, event: &mut Event) {
    if let (Phase::ConfirmDead, Fact::Probed { version: Which::Old, answer, control, .. }) =
        (state.phase(), &mut event.fact)
    {
        (*answer, *control) = (ProbeResult::Dead, None);
    }
}

/// The old value is dropped although the old key is accepted.
pub(super) const ACCEPTED_IS_DEAD: Mutant = Mutant {
    name: "accepted is dead",
    sentence: "P-55",
    event: accepted_is_dead,
    plan: |plan| plan.capabilities.death_ms_max = 0,
    ..Mutant::NONE
};

fn lost_disable_is_failure(state: &State, event: &mut Event) {
    if let Fact::Ended { intent, outcome } = &mut event.fact
        && *outcome == Outcome::Unknown
        && state.intents().iter().any(|open| open.seq == *intent && open.op == Op::Disable)
    {
        *outcome = Outcome::Failed { retry: true };
    }
}

/// After a lost Disable, the old key counts as certainly enabled.
pub(super) const LOST_DISABLE: Mutant =
    Mutant { name: "lost disable is none", sentence: "P-72", event: lost_disable_is_failure, ..Mutant::NONE };

fn first_failure_ends(state: &State, wanted: &mut Vec<Want>) {
    let failed = state.units().iter().any(|unit| unit.stage == UnitStep::Failed);
    if state.phase() == Phase::RollingBack && failed {
        *wanted = vec![Want::Ask(Query::Enumerate)];
    }
}

/// The rollback ends at the first unit that cannot be restored.
pub(super) const BACK_ENDS_EARLY: Mutant =
    Mutant { name: "rollback ends early", sentence: "P-75", wants: first_failure_ends, ..Mutant::NONE };

/// The store is changed although the witness was not advanced.
pub(super) const STORE_UNWITNESSED: Mutant = Mutant {
    name: "store unwitnessed",
    sentence: "P-76",
    action: |state, action| {
        let Action::Witness { intent } = action else { return None };
        let op = state.intents().iter().find(|open| open.seq == *intent).map(|open| &open.op)?;
        matches!(op, Op::Promote | Op::Demote | Op::Retire(_))
            .then_some(Input::Witnessed { intent: *intent, ok: true })
    },
    ..Mutant::NONE
};

/// An operation that moves something counts as over as soon as it has begun.
pub(super) const MOVE_UNAWAITED: Mutant = Mutant {
    name: "move unawaited",
    sentence: "P-77",
    early: |_, action| match action {
        Action::Carry { effect, .. } if effect.op.moves() => {
            Some(Input::Ended { intent: effect.intent, outcome: Outcome::Done(None) })
        }
        _ => None,
    },
    ..Mutant::NONE
};
