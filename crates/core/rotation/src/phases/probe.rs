use crate::course::not_yet;
use crate::course::phases_fail;
use crate::deadlines;
use crate::state::{Phase, Reason, State};
use crate::{Query, Want, Which};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    for endpoint in not_yet(state, state.answers.accepted_new(), state.plan().policy.probes_alive) {
        out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if not_yet(next, next.answers.accepted_new(), next.plan().policy.probes_alive).is_empty() {
        next.enter(Phase::Roll);
        return true;
    }
    if deadlines::late(next) {
        phases_fail(next, Reason::Overdue(Phase::Probe));
        return true;
    }
    false
}
