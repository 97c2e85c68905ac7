use crate::course::first;
use crate::deadlines;
use crate::state::{Phase, State};
use crate::{Query, Want};

pub(super) fn wants(out: &mut Vec<Want>) {
    out.push(Want::Ask(Query::Preflight));
}

pub(super) fn settle(next: &mut State) -> bool {
    match next.answers.preflight() {
        Some(true) => {
            let to = first(next);
            next.enter(to);
            true
        }
        Some(false) => {
            next.enter(Phase::RolledBack);
            true
        }
        None if deadlines::late(next) => {
            next.enter(Phase::RolledBack);
            true
        }
        None => false,
    }
}
