use crate::state::{Hold, IntentStatus, OldKey, Reason, State};
use crate::{Op, Query, Want, Which, gate, intent, phases, unit};

/// What the protocol would have done next, derived from the state alone.
///
/// Nothing new is begun while an outcome is in question, nor while the rotation stands still; but a key of ours that
/// is switched off is switched on again before anything stands still, as long as there is a way back.
pub fn wants(state: &State) -> Vec<Want> {
    let mut out = Vec::new();
    if let Some(seq) = intent::in_question(state) {
        if matches!(state.hold, Some(Hold::Stuck(Reason::Unclear(_)))) {
            // Only a person can tell.
            return out;
        }
        out.push(Want::Ask(Query::Reconcile(seq)));
        return out;
    }
    if state.ended() {
        return out;
    }
    match state.hold {
        Some(Hold::Stuck(_)) => {}
        Some(Hold::Paused(reason)) => held(state, reason, &mut out),
        None => {
            orphans(state, &mut out);
            if out.is_empty() {
                phases::wants(state, &mut out);
            }
        }
    }
    out
}

/// The digest that a consent would be bound to now, where there is a look to bind it to.
pub fn consent_digest(state: &State) -> Option<u64> {
    state.fresh_look(state.entered).map(|look| gate::digest(state, look))
}

fn held(state: &State, reason: Reason, out: &mut Vec<Want>) {
    if state.decided.is_some() {
        return;
    }
    match state.old {
        _ if state.must_enable() => unit::offer(state, Op::Enable, out),
        OldKey::On if matches!(reason, Reason::RefusedUse | Reason::Consent) => {
            for endpoint in phases::not_yet(state, &state.alive, state.plan.policy.probes_alive) {
                let dead = state.dead.get(endpoint.index()).map_or(0, |streak| streak.count);
                if dead < state.plan.policy.probes_dead {
                    out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
                }
            }
        }
        OldKey::On | OldKey::Off(_) | OldKey::Ended => {}
    }
    // A unit that goes back alone goes on going back.
    if let Reason::Unit(_) = reason {
        for at in 0..state.units.len() {
            let back = state.units.get(at).is_some_and(|unit| unit.toward == Which::Old);
            if back && state.phase != crate::Phase::RollingBack {
                unit::wants(state, at, out);
            }
        }
    }
}

/// A credential that carries the label of an open mint intent of ours and is no version is deleted first.
fn orphans(state: &State, out: &mut Vec<Want>) {
    for open in &state.intents {
        if let IntentStatus::Orphan(credential) = &open.status {
            unit::offer(state, Op::DeleteOrphan(credential.clone()), out);
        }
    }
}
