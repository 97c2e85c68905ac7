use crate::course::not_yet;
use crate::state::{Debt, Phase, State};
use crate::{EndpointId, Op, Overlap, Query, Want, Which, course, unit};

/// Endpoints that have not refused the old value often enough, or not for the issuer's propagation time.
fn open(state: &State) -> Vec<EndpointId> {
    let policy = &state.plan().policy;
    let mut open = not_yet(state, state.answers.dead(), policy.probes_dead);
    for endpoint in state.plan().endpoint_ids() {
        let since = state.answers.dead().get(endpoint.index()).and_then(|streak| streak.since);
        let long =
            since.is_some_and(|since| state.now().at_least(state.plan().capabilities.death_ms_max, since));
        if !long && !open.contains(&endpoint) {
            open.push(endpoint);
        }
    }
    open
}

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if let Overlap::Grace { ms } = state.plan().capabilities.overlap {
        let waited = state.now().since(state.position.since()).unwrap_or(0);
        if waited < ms {
            out.push(Want::Wait(ms - waited));
            return;
        }
    }
    let open = open(state);
    if open.is_empty() && owes_sessions(state) {
        unit::offer(state, Op::EndSessions, out);
    }
    // A key that ended without our doing may still exist.
    let listed = state.old.listed_since(state.position.entered());
    if !open.is_empty() && state.old.is_missing() && state.plan().capabilities.list && !listed {
        out.push(Want::Ask(Query::List));
    }
    for endpoint in open {
        out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
    }
}

/// In an emergency, sessions are ended once more when the key is dead and no new session can be opened.
fn owes_sessions(state: &State) -> bool {
    let ended = state.ending.sessions_ended().is_some_and(|seq| seq > state.position.entered());
    state.emergency().is_some() && course::has_sessions(state) && !ended
}

pub(super) fn settle(next: &mut State) -> bool {
    if open(next).is_empty() {
        if owes_sessions(next) {
            return false;
        }
        next.ending.confirm();
        next.enter(Phase::Sweep);
        return true;
    }
    let grace = match next.plan().capabilities.overlap {
        Overlap::Grace { ms } => ms,
        Overlap::Independent { .. } | Overlap::TwoSlots | Overlap::None => 0,
    };
    let death = next.plan().capabilities.death_ms_max.saturating_mul(2);
    let limit = next.plan().policy.phase_ms_max.saturating_add(death).saturating_add(grace);
    if next.overdue(limit) {
        next.sweep_owing(Debt::NotDead);
        return true;
    }
    false
}
