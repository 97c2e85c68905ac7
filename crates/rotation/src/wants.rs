use crate::state::{Hold, IntentStatus, OldKey, Reason, State};
use crate::{Op, Query, Want, Which, gate, intent, phases, unit};

/// What the protocol would have done next, derived from the state alone.
///
/// Nothing new is begun while an outcome is in question, nor while the rotation stands still; but a key of ours that
/// is switched off is switched on again before anything stands still, as long as there is a way back.
pub fn wants(state: &State) -> Vec<Want> {
    let mut out = Vec::new();
    if let Some(seq) = intent::in_question(state) {
        match state.hold {
            // Only a person can tell.
            Some(hold @ Hold::Stuck(Reason::Unclear(_))) => held(state, hold, &mut out),
            Some(_) | None => out.push(Want::Ask(Query::Reconcile(seq))),
        }
        return out;
    }
    if state.ended() {
        return out;
    }
    if let Some(hold) = state.hold {
        held(state, hold, &mut out);
        return out;
    }
    orphans(state, &mut out);
    if out.is_empty() {
        phases::wants(state, &mut out);
    }
    out
}

/// The digest that a consent would be bound to now, where there is a look to bind it to.
pub fn consent_digest(state: &State) -> Option<u64> {
    state.fresh_look(state.entered).map(|look| gate::digest(state, look))
}

/// While it stands still: the old key is switched on, whoever was refused meanwhile is heard, and the key is seen alive.
fn held(state: &State, hold: Hold, out: &mut Vec<Want>) {
    if state.decided.is_some() {
        return;
    }
    if owes_enabling(state, hold) {
        unit::offer(state, Op::Enable, out);
    }
    let patient = !state.overdue_standing();
    if patient && unheard(state, hold) {
        out.push(Want::Ask(Query::Refusals));
    }
    if state.old == OldKey::On && !state.off_in_doubt && patient && doubts(state, hold) {
        for endpoint in phases::not_yet(state, &state.alive, state.plan.policy.probes_alive) {
            let dead = state.dead.get(endpoint.index()).map_or(0, |streak| streak.count);
            if dead < state.plan.policy.probes_dead {
                out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
            }
        }
    }
    // A unit that goes back alone goes on going back.
    if let Hold::Paused(Reason::Unit(_)) = hold {
        for at in 0..state.units.len() {
            let back = state.units.get(at).is_some_and(|unit| unit.toward == Which::Old);
            if back && state.phase != crate::Phase::RollingBack {
                unit::wants(state, at, out);
            }
        }
    }
}

/// Whoever still presents the old key is not left without it. A compromised one is switched on for nobody whom a stuck
/// rotation has not heard.
fn owes_enabling(state: &State, hold: Hold) -> bool {
    let wanted = state.emergency.is_none() || state.refused_use || matches!(hold, Hold::Paused(_));
    state.must_enable() && wanted && !state.enable_failed
}

/// The old key was off when it began to stand still, and nobody has asked since then who was refused.
fn unheard(state: &State, hold: Hold) -> bool {
    let off = state.must_enable() || state.enabled_meanwhile();
    let listens = phases::watching(state) && phases::refusals_visible(state) && !state.enable_failed;
    let heard = state.refusals_read.is_some_and(|read| read.at_least(1, state.stood.1));
    off && listens && !heard && hold != Hold::Paused(Reason::RefusedUse)
}

/// Whether the old key works has still to be seen.
fn doubts(state: &State, hold: Hold) -> bool {
    matches!(hold, Hold::Paused(Reason::RefusedUse | Reason::Consent)) || state.enabled_meanwhile()
}

/// A credential that carries the label of an open mint intent of ours and is no version is deleted first.
fn orphans(state: &State, out: &mut Vec<Want>) {
    for open in &state.intents {
        if let IntentStatus::Orphan(credential) = &open.status {
            unit::offer(state, Op::DeleteOrphan(credential.clone()), out);
        }
    }
}
