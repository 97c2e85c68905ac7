use crate::course::not_yet;
use crate::deadlines;
use crate::state::{Debt, Phase, State};
use crate::{EndpointId, Op, Query, Stamp, Want, Which, course, unit};

/// Endpoints that have not refused the old value often enough, or not for the issuer's propagation time.
fn open(state: &State) -> Vec<EndpointId> {
    let policy = &state.plan().policy;
    let mut open = not_yet(state, state.answers.dead(), policy.probes_dead);
    for endpoint in state.plan().endpoint_ids() {
        let streak = state.answers.dead().get(endpoint.index()).copied().unwrap_or_default();
        // The last refusal ends the time. In journals of protocol 3 and before, any entry ended it.
        let until = if state.bounds_looks() { streak.last } else { Some(state.now()) };
        let lasted =
            |(since, until): (Stamp, Stamp)| until.at_least(state.plan().capabilities.death_ms_max, since);
        let long = streak.since.zip(until).is_some_and(lasted);
        if !long && !open.contains(&endpoint) {
            open.push(endpoint);
        }
    }
    open
}

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    let waited = state.now().since(state.position.since()).unwrap_or(0);
    if let Some(left @ 1..) = deadlines::grace_ms(state).checked_sub(waited) {
        out.push(Want::Wait(left));
        return;
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
    if deadlines::late(next) {
        next.sweep_owing(Debt::NotDead);
        return true;
    }
    false
}
