use crate::state::{OldKey, Phase, State, UnitStep};
use crate::{Delivery, Emergency, Op, Overlap, Want, Which, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // Consumers may still need the old key until they are moved.
    if state.must_enable() {
        unit::offer(state, Op::Enable, out);
        return;
    }
    for at in 0..state.units().len() {
        unit::wants(state, at, out);
    }
    if out.is_empty() && pushed(state) && !state.promoted() && !busy(state) {
        unit::offer(state, Op::Promote, out);
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.must_enable() {
        return false;
    }
    if start_some(next) {
        return true;
    }
    let all = next.units().iter().all(arrived);
    if all && next.promoted() {
        let exchanged = next.exchanges() && next.old_key() != OldKey::On && next.abandoned().is_empty();
        next.enter(if exchanged { Phase::ConfirmDead } else { Phase::Quiesce });
        return true;
    }
    false
}

fn arrived(unit: &crate::Unit) -> bool {
    unit.stage == UnitStep::Settled && unit.toward == Which::New
}

fn pushed(state: &State) -> bool {
    let pairs = state.units().iter().zip(&state.plan().consumers);
    pairs.filter(|(_, consumer)| consumer.is_pushed()).all(|(unit, _)| arrived(unit))
}

fn busy(state: &State) -> bool {
    state.units().iter().any(|unit| unit.stage.is_moving())
}

/// Lets waiting units begin: push before pull, the canary alone, then as many at once as the plan allows.
fn start_some(next: &mut State) -> bool {
    let running = next
        .units()
        .iter()
        .filter(|unit| !matches!(unit.stage, UnitStep::Waiting | UnitStep::Settled))
        .count();
    let settled = next.units().iter().any(arrived);
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
    let pushed = pushed(next);
    let may = |delivery: Delivery| match delivery {
        Delivery::Push => true,
        Delivery::Fetch | Delivery::Follow => pushed && next.promoted(),
    };
    let waiting = next.units().iter().zip(&next.plan().consumers).position(|(unit, consumer)| {
        unit.stage == UnitStep::Waiting && unit.toward == Which::New && may(consumer.delivery)
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
