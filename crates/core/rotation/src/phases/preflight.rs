use crate::course::first;
use crate::state::{Phase, State};
use crate::{Query, Want};

/// How long Preflight asks again after unclear answers, milliseconds; nothing was changed yet.
const PREFLIGHT_MS_MAX: u64 = 60_000;

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
        None if next.overdue(next.plan().policy.phase_ms_max.min(PREFLIGHT_MS_MAX)) => {
            next.enter(Phase::RolledBack);
            true
        }
        None => false,
    }
}
