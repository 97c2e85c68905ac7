use crate::course::{endpoints_from_all, is_short, own_endpoints, phases_fail};
use crate::deadlines;
use crate::state::{Phase, Reason, State};
use crate::{Emergency, EndpointId, Query, Want, Which};

/// Where the new version was not seen accepted yet: by each host that is there. In an emergency that revokes first no other
/// host is waited for.
fn unseen(state: &State) -> impl Iterator<Item = EndpointId> {
    let (streaks, need) = (state.answers.accepted_new(), state.plan().policy.probes_alive);
    let urgent = state.emergency() == Some(Emergency::RevokeNow);
    let own = urgent.then(|| own_endpoints(state)).into_iter().flatten();
    let from_all = (!urgent).then(|| endpoints_from_all(state)).into_iter().flatten();
    own.chain(from_all).filter(move |endpoint| is_short(streaks, *endpoint, need))
}

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    for endpoint in unseen(state) {
        out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if unseen(next).next().is_none() {
        next.enter(Phase::Roll);
        return true;
    }
    if deadlines::late(next) {
        phases_fail(next, Reason::Overdue(Phase::Probe));
        return true;
    }
    false
}
