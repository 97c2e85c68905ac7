use crate::gate::blockers;
use crate::state::{OldKey, Phase, State};
use crate::{Op, Query, Want, Which, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    let open = state.fresh_look(state.entered).map(|look| blockers(state, look, Which::New).is_empty());
    match open {
        Some(true) => unit::offer(state, Op::Disable, out),
        Some(false) => {}
        None => out.push(Want::Ask(Query::Enumerate)),
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    match next.old {
        OldKey::Off(_) => {
            next.enter(Phase::Soak);
            return true;
        }
        OldKey::Ended => {
            next.enter(Phase::ConfirmDead);
            return true;
        }
        OldKey::On => {}
    }
    let blocked =
        next.fresh_look(next.entered).is_some_and(|look| !blockers(next, look, Which::New).is_empty());
    if blocked && !next.running(&Op::Disable) {
        next.enter(Phase::Quiesce);
        return true;
    }
    false
}
