use crate::course::{endpoints_from_all, is_short, not_yet, phases_fail};
use crate::deadlines;
use crate::state::{Phase, Reason, State};
use crate::{Emergency, EndpointId, Query, Want, Which};

/// Where the new version was not seen accepted yet: by each host that is there. In an emergency that revokes first no other
/// host is waited for.
fn unseen(state: &State) -> Vec<EndpointId> {
    let (streaks, need) = (state.answers.accepted_new(), state.plan().policy.probes_alive);
    if state.emergency() == Some(Emergency::RevokeNow) {
        return not_yet(state, streaks, need);
    }
    endpoints_from_all(state).filter(|endpoint| is_short(streaks, *endpoint, need)).collect()
}

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    for endpoint in unseen(state) {
        out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if unseen(next).is_empty() {
        next.enter(Phase::Roll);
        return true;
    }
    if deadlines::late(next) {
        phases_fail(next, Reason::Overdue(Phase::Probe));
        return true;
    }
    false
}
