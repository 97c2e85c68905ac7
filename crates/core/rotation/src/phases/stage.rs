use crate::course::phases_fail;
use crate::deadlines;
use crate::state::{Phase, Reason, State};
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
        // The store does not say what it holds.
        let over = next.new.is_staged() && deadlines::given_up(next);
        if over {
            phases_fail(next, Reason::Overdue(Phase::Stage));
        }
        return over;
    }
    next.enter(Phase::Probe);
    true
}
