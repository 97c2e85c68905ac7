use crate::course::{endpoints_from_all, is_short, own_endpoints};
use crate::deadlines;
use crate::state::{Debt, Phase, State};
use crate::{EndpointId, Op, Query, Stamp, Want, Which, course, unit};

/// Whether an endpoint has not refused the old value often enough.
fn is_rare(state: &State, endpoint: EndpointId) -> bool {
    is_short(state.answers.dead(), endpoint, state.plan().policy.probes_dead)
}

/// Whether an endpoint has not refused the old value for the issuer's propagation time.
fn is_brief(state: &State, endpoint: EndpointId) -> bool {
    let streak = state.answers.dead().get(endpoint.index()).copied().unwrap_or_default();
    // The last refusal ends the time. In journals of protocol 3 and before, any entry ended it.
    let until = if state.bounds_looks() { streak.last } else { Some(state.now()) };
    let lasted =
        |(since, until): (Stamp, Stamp)| until.at_least(state.plan().capabilities.death_ms_max, since);
    !streak.since.zip(until).is_some_and(lasted)
}

/// Whether an endpoint must still be asked, by what it answered.
fn is_open(state: &State, endpoint: EndpointId) -> bool {
    is_rare(state, endpoint) || is_brief(state, endpoint)
}

/// Whether no endpoint is asked any more. Another host may not reach the issuer any more: in the end the key is dead as the
/// driver's own machine sees it.
fn is_over(state: &State) -> bool {
    let open = |endpoint| is_open(state, endpoint);
    !endpoints_from_all(state).any(open) || (deadlines::late(state) && !own_endpoints(state).any(open))
}

/// The endpoints that are still asked; first those that have not refused the old value often enough.
fn unseen(state: &State) -> Vec<EndpointId> {
    if is_over(state) {
        return Vec::new();
    }
    let (rare, others): (Vec<_>, Vec<_>) =
        endpoints_from_all(state).partition(|endpoint| is_rare(state, *endpoint));
    let brief = others.into_iter().filter(|endpoint| is_brief(state, *endpoint));
    rare.into_iter().chain(brief).collect()
}

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    let waited = state.now().since(state.position.since()).unwrap_or(0);
    if let Some(left @ 1..) = deadlines::grace_ms(state).checked_sub(waited) {
        out.push(Want::Wait(left));
        return;
    }
    let open = unseen(state);
    if open.is_empty() && owes_sessions(state) {
        unit::offer(state, Op::EndSessions, out);
    }
    // A key that ended without our doing may still exist.
    let listed = state.old.listed_since(state.position.entered());
    if !open.is_empty() && state.old.is_missing() && state.plan().capabilities.list && !listed {
        out.push(Want::Ask(Query::List));
    }
    if !open.is_empty() && doubts_new(state) {
        let unseen = own_endpoints(state).filter(|endpoint| !is_new_seen(state, *endpoint));
        out.extend(unseen.map(|endpoint| Want::Ask(Query::Probe(endpoint, Which::New))));
    }
    for endpoint in open {
        out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
    }
}

/// Half of the time is over, and the old key is not seen dead: perhaps because the new one, the control beside it, is refused too.
/// Then nobody has a key that works, and no later look would show the old one dead.
pub(crate) fn doubts_new(state: &State) -> bool {
    let half_ms = deadlines::grace_ms(state).saturating_add(state.plan().policy.phase_ms_max / 2);
    let asks = state.is_since(18) && state.phase() == Phase::ConfirmDead && state.new_version().is_some();
    asks && state.overdue(half_ms)
}

/// Whether an endpoint accepted the new key in this wait.
fn is_new_seen(state: &State, endpoint: EndpointId) -> bool {
    let streak = state.answers.accepted_new().get(endpoint.index()).copied().unwrap_or_default();
    streak.last.is_some_and(|last| last.since(state.position.since()).is_some())
}

/// In an emergency, sessions are ended once more when the key is dead and no new session can be opened.
fn owes_sessions(state: &State) -> bool {
    let ended = state.ending.sessions_ended().is_some_and(|seq| seq > state.position.entered());
    state.emergency().is_some() && course::has_sessions(state) && !ended
}

pub(super) fn settle(next: &mut State) -> bool {
    if is_over(next) {
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
