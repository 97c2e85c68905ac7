use crate::state::{Phase, State};
use crate::{Op, Query, Want, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if state.new.is_staged() {
        out.push(Want::Ask(Query::StageCheck));
    } else {
        unit::offer(state, Op::Stage, out);
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if !(next.new.is_staged() && next.new.is_checked()) {
        return false;
    }
    next.enter(Phase::Probe);
    true
}
