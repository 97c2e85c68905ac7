//! Whose turn it is in a rollback: a unit whose restart failed lets those go first that have not failed, or less often.
//!
//! Which unit is on its way follows from the journal as it always did. Another one takes its turn only with the entry of its first
//! operation, and what was wanted without that may be in older journals.

use std::cmp::Reverse;

use crate::state::State;
use crate::{Op, Phase, Want, Which, unit};

/// The host of this unit did not answer the look on which the rollback goes on.
pub(crate) fn is_away(state: &State, at: usize) -> bool {
    let partial = state.partial_look(state.position.entered()).filter(|look| !look.whole);
    let host = state.plan().consumers.get(at).map(|consumer| consumer.host);
    partial.zip(host).is_some_and(|(look, host)| look.seen.absent.contains(&host))
}

/// The unit that goes before the one on its way, with its first operation. It is the one that failed least, and of several the
/// last one; one that needs no operation is held up by nothing, and waits.
pub(crate) fn first(state: &State) -> Option<(usize, Op)> {
    if state.phase() != Phase::RollingBack || state.intents().iter().any(|open| open.op.on_host()) {
        return None;
    }
    let moving = state.units.moving().next()?;
    let late = rank(state, moving).filter(|late| *late > (false, 0))?;
    let its_own = own(state, moving);
    let mut others: Vec<(_, Reverse<usize>)> = state
        .units
        .waiting(Which::Old)
        .filter(|at| !is_away(state, *at))
        .filter_map(|at| rank(state, at).map(|rank| (rank, Reverse(at))))
        .filter(|(rank, _)| *rank < late)
        .collect();
    others.sort_unstable();
    others.into_iter().find_map(|(_, Reverse(at))| {
        let mut then = state.clone();
        give(&mut then, at);
        let op = own(&then, at).into_iter().next()?;
        // A file that both read is written by the one that is on its way.
        (!its_own.contains(&op)).then_some((at, op))
    })
}

/// The operation that goes before this one, which the unit on its way wants.
pub(crate) fn before(state: &State, op: &Op) -> Option<Op> {
    let (_, first) = first(state)?;
    state.units.moving().any(|at| own(state, at).contains(op)).then_some(first)
}

/// The operation was journaled: its unit takes the turn, where it was the first of one that goes before.
pub(crate) fn take(next: &mut State, before: &State, op: &Op) {
    if let Some((at, _)) = first(before).filter(|(_, first)| first == op) {
        give(next, at);
    }
}

fn give(next: &mut State, at: usize) {
    for other in next.units.moving().collect::<Vec<_>>() {
        next.units.put_off(other, next.now());
    }
    unit::start(next, at);
    unit::advance_one(next, at);
}

/// How a unit failed: at a restart, and how often in this pass.
fn rank(state: &State, at: usize) -> Option<(bool, u8)> {
    state.units.get(at).map(|unit| (unit.unrestarted, unit.failures))
}

/// The operations of a unit that is on its way.
fn own(state: &State, at: usize) -> Vec<Op> {
    let mut out = Vec::new();
    unit::wants(state, at, &mut out);
    let of_want = |want: Want| if let Want::Do(op) = want { Some(op) } else { None };
    out.into_iter().filter_map(of_want).collect()
}
