use crate::state::{OldKey, Phase, State};
use crate::{Emergency, Op, Overlap, Want, Which, pace, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // Consumers may still need the old key until they are moved.
    if state.must_enable() {
        unit::offer(state, Op::Enable, out);
        return;
    }
    for at in state.units.moving() {
        unit::wants(state, at, out);
    }
    let pauses = pace::pause_ms(state).is_some();
    if out.is_empty()
        && pace::are_pushed(state)
        && !state.promoted()
        && !state.units.is_any_moving()
        && !pauses
    {
        unit::offer(state, Op::Promote, out);
    }
    pace::wants(state, out);
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.must_enable() {
        return false;
    }
    if return_canary(next) || pace::pass_canary(next) || start_some(next) {
        return true;
    }
    if next.units.have_all_settled(Which::New) && next.promoted() {
        let exchanged = next.exchanges() && next.old_key() != OldKey::On && next.abandoned().is_empty();
        next.enter(if exchanged { Phase::ConfirmDead } else { Phase::Quiesce });
        return true;
    }
    false
}

/// A consumer of the canary settled because it had gone or its host had left, and is back before the canary has passed: nothing shows
/// that the consumer works, so it is moved and proven like every canary. What was seen of it before that, also by a look that was under
/// way when its host was waived, may be about another process. Returns whether there was one.
fn return_canary(next: &mut State) -> bool {
    // Nobody waits for a canary where nothing is paced.
    if !pace::waits_for_canary(next) {
        return false;
    }
    let mut canary = pace::canary(next).into_iter();
    let Some(id) = canary.find(|id| next.units.is_unseen(id.index())) else { return false };
    next.units.send(id.index(), Which::New, 0, next.now());
    next.proofs.void(id, None);
    true
}

/// Lets a waiting unit begin: push before pull, the canary alone, then as many at once as the plan allows.
fn start_some(next: &mut State) -> bool {
    if pace::retreats(next) {
        return start_retreat(next);
    }
    // The others get the value only once it is given out.
    let pulled = pace::are_pushed(next) && next.promoted();
    let Some(paced) = pace::next_unit(next, pulled) else {
        return start_unpaced(next, pulled);
    };
    let Some(at) = paced else { return false };
    unit::start(next, at);
    true
}

/// The same where the plan has no pace, or nobody waits for it. `pulled`: also those whose files keyroll does not write.
fn start_unpaced(next: &mut State, pulled: bool) -> bool {
    let shown = |at: usize| !next.is_out_of_reach(at) && !next.units.is_unseen(at);
    let settled = next.units.settled(Which::New).any(shown);
    let gap = matches!(next.plan().capabilities.overlap, Overlap::None);
    let whole = next.emergency().is_some() || gap;
    let canary_done = settled || gap || next.emergency() == Some(Emergency::RevokeNow);
    let most = match (canary_done, whole) {
        (false, _) => 1,
        (true, true) => usize::MAX,
        (true, false) => usize::from(next.plan().policy.parallel_max),
    };
    if next.units.count_begun() >= most || next.units.failed().next().is_some() {
        return false;
    }
    let units = &next.units;
    let waiting = if pulled { units.waiting(Which::New).next() } else { units.waiting_pushed().next() };
    if let Some(at) = waiting {
        unit::start(next, at);
        return true;
    }
    start_retreat(next)
}

/// A unit that is rolled back alone needs no canary.
fn start_retreat(next: &mut State) -> bool {
    if next.running(&crate::Op::Disable) {
        return false;
    }
    let Some(at) = next.units.waiting(Which::Old).next() else { return false };
    unit::start(next, at);
    true
}
