use crate::state::{OldKey, Phase, State, Unit, UnitStep};
use crate::{Delivery, Emergency, Op, Overlap, Want, Which, pace, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // Consumers may still need the old key until they are moved.
    if state.must_enable() {
        unit::offer(state, Op::Enable, out);
        return;
    }
    for at in 0..state.units().len() {
        unit::wants(state, at, out);
    }
    let pauses = pace::pause_ms(state).is_some();
    if out.is_empty() && pushed(state) && !state.promoted() && !busy(state) && !pauses {
        unit::offer(state, Op::Promote, out);
    }
    pace::wants(state, out);
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.must_enable() {
        return false;
    }
    if pace::pass_canary(next) || start_some(next) {
        return true;
    }
    let all = next.units().iter().all(Unit::has_arrived);
    if all && next.promoted() {
        let exchanged = next.exchanges() && next.old_key() != OldKey::On && next.abandoned().is_empty();
        next.enter(if exchanged { Phase::ConfirmDead } else { Phase::Quiesce });
        return true;
    }
    false
}

fn pushed(state: &State) -> bool {
    let pairs = state.units().iter().zip(&state.plan().consumers);
    pairs.filter(|(_, consumer)| consumer.is_pushed()).all(|(unit, _)| unit.has_arrived())
}

fn busy(state: &State) -> bool {
    state.units().iter().any(|unit| unit.stage.is_moving())
}

/// Lets a waiting unit begin: push before pull, the canary alone, then as many at once as the plan allows.
fn start_some(next: &mut State) -> bool {
    if pace::retreats(next) {
        return start_retreat(next);
    }
    let pushed = pushed(next);
    let Some(paced) = pace::next_unit(next, |at| may_begin(next, pushed, at)) else {
        return start_unpaced(next, pushed);
    };
    let Some(at) = paced else { return false };
    unit::start(next, at);
    true
}

/// Whether a unit can get the value already.
fn may_begin(state: &State, pushed: bool, at: usize) -> bool {
    match state.plan().consumers.get(at).map(|consumer| consumer.delivery) {
        Some(Delivery::Push) => true,
        Some(Delivery::Fetch | Delivery::Follow) => pushed && state.promoted(),
        None => false,
    }
}

/// The same where the plan has no pace, or nobody waits for it.
fn start_unpaced(next: &mut State, pushed: bool) -> bool {
    let running = next
        .units()
        .iter()
        .filter(|unit| !matches!(unit.stage, UnitStep::Waiting | UnitStep::Settled))
        .count();
    let settled =
        next.units().iter().enumerate().any(|(at, unit)| unit.has_arrived() && !next.unit_has_left(at));
    let gap = matches!(next.plan().capabilities.overlap, Overlap::None);
    let whole = next.emergency().is_some() || gap;
    let canary_done = settled || gap || next.emergency() == Some(Emergency::RevokeNow);
    let most = match (canary_done, whole) {
        (false, _) => 1,
        (true, true) => usize::MAX,
        (true, false) => usize::from(next.plan().policy.parallel_max),
    };
    if running >= most || next.units().iter().any(|unit| unit.stage == UnitStep::Failed) {
        return false;
    }
    let waiting = next.units().iter().enumerate().position(|(at, unit)| {
        unit.stage == UnitStep::Waiting && unit.toward == Which::New && may_begin(next, pushed, at)
    });
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
    let back = |unit: &crate::Unit| unit.stage == UnitStep::Waiting && unit.toward == Which::Old;
    let Some(at) = next.units().iter().position(back) else { return false };
    unit::start(next, at);
    true
}
