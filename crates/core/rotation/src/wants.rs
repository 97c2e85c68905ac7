use crate::state::{Hold, IntentStatus, OldKey, Reason, State};
use crate::{Op, Phase, Query, Want, Which, course, gate, phases, turn, unit};

/// What the protocol would do next, derived from the state alone.
///
/// Nothing new is begun while an outcome is unknown or the rotation is held. There are two exceptions: before the point
/// of no return a disabled old key is enabled first, and *revoke now* does not wait for the outcome of something else.
pub fn wants(state: &State) -> Vec<Want> {
    let mut out = Vec::new();
    if let Some(seq) = course::in_question(state) {
        match state.hold() {
            // Only the operator knows.
            Some(hold @ Hold::Stuck(Reason::Unclear(_))) => held(state, hold, &mut out),
            Some(_) | None => out.push(Want::Ask(Query::Reconcile(seq))),
        }
        if state.hold().is_none() {
            phases::wants_at_once(state, &mut out);
        }
        return out;
    }
    if state.ended() {
        return out;
    }
    if let Some(hold) = state.hold() {
        held(state, hold, &mut out);
        return out;
    }
    orphans(state, &mut out);
    if out.is_empty() {
        phases::wants(state, &mut out);
    }
    out
}

/// Whether an operation is among what would be done next. In Roll only the units to which it belongs are asked: there may be
/// many operations of others at a time.
pub(crate) fn is_wanted(state: &State, op: &Op) -> bool {
    let want = Want::Do(op.clone());
    let orphaned = state.intents().iter().any(|open| matches!(open.status, IntentStatus::Orphan(_)));
    let held = course::in_question(state).is_some() || state.hold().is_some() || state.must_enable();
    if state.phase() != Phase::Roll || !op.on_host() || orphaned || held {
        return wants(state).contains(&want);
    }
    let mut out = Vec::new();
    unit::owners(state, op).into_iter().for_each(|at| unit::wants(state, at, &mut out));
    let is_among = out.contains(&want);
    debug_assert_eq!(
        is_among,
        wants(state).contains(&want),
        "what is wanted of {op:?} is not what is done next"
    );
    is_among
}

/// The digest that a consent would be bound to now, where there is a look to bind it to.
pub fn consent_digest(state: &State) -> Option<u64> {
    state.fresh_look(state.position.entered()).map(|look| gate::digest(state, look))
}

/// What a held rotation wants: enable the old key, read the refused uses, and see the key alive.
fn held(state: &State, hold: Hold, out: &mut Vec<Want>) {
    if state.decided() {
        return;
    }
    if owes_enabling(state, hold) {
        unit::offer(state, Op::Enable, out);
    }
    let patient = !state.overdue_standing();
    if patient && unheard(state, hold) {
        out.push(Want::Ask(Query::Refusals));
    }
    if state.old_key() == OldKey::On && !state.off_in_doubt() && patient && doubts(state, hold) {
        for endpoint in course::not_yet(state, state.answers.alive(), state.plan().policy.probes_alive) {
            let dead = state.answers.dead().get(endpoint.index()).map_or(0, |streak| streak.count);
            if dead < state.plan().policy.probes_dead {
                out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
            }
        }
    }
    // A unit that is being rolled back alone continues.
    if let Hold::Paused(Reason::Unit(_)) = hold
        && !state.running(&Op::Disable)
    {
        for at in state.units.moving() {
            let back = state.units.get(at).is_some_and(|unit| unit.toward == Which::Old);
            if back && state.phase() != Phase::RollingBack {
                unit::wants(state, at, out);
            }
        }
    }
}

/// Whether the old key must be enabled: a process may still present it. A compromised key of a stuck rotation is not
/// enabled, unless a refused use was read.
fn owes_enabling(state: &State, hold: Hold) -> bool {
    let wanted =
        state.emergency().is_none() || state.holding.refused_use() || matches!(hold, Hold::Paused(_));
    state.must_enable() && wanted && !state.switching.enable_failed()
}

/// The old key was disabled when the hold began, and refused uses were not read since.
fn unheard(state: &State, hold: Hold) -> bool {
    let off = state.must_enable() || state.enabled_meanwhile();
    let listens =
        course::watching(state) && course::refusals_visible(state) && !state.switching.enable_failed();
    let heard = state.holding.since().is_some_and(|since| state.uses.refusals_read_after(1, since));
    off && listens && !heard && hold != Hold::Paused(Reason::RefusedUse)
}

/// Whether the old key must still be seen alive.
fn doubts(state: &State, hold: Hold) -> bool {
    matches!(hold, Hold::Paused(Reason::RefusedUse | Reason::Consent)) || state.enabled_meanwhile()
}

/// A credential with the label of an open mint intent of ours that is no version is deleted first.
fn orphans(state: &State, out: &mut Vec<Want>) {
    for open in state.intents() {
        if let IntentStatus::Orphan(credential) = &open.status {
            unit::offer(state, Op::DeleteOrphan(credential.clone()), out);
        }
    }
}

/// Whether an earlier version wanted this operation, because it did not wait for deletions, let no unit of a rollback go before
/// one that cannot be restarted, or ended no sessions after an emergency in this phase: old journals may have it.
pub(crate) fn was_wanted(state: &State, op: &Op) -> bool {
    // The one that goes first is wanted only where nothing else is to be done before it.
    if let Some(first) = turn::before(state, op) {
        return is_wanted(state, &first);
    }
    if *op == Op::Choose {
        return phases::was_chosen_at_once(state);
    }
    if state.phase() != Phase::Sweep || !phases::sweep_owes_sessions(state) {
        return false;
    }
    let mut then = state.clone();
    then.ending.end_sessions(0);
    wants(&then).contains(&Want::Do(op.clone()))
}
