//! Consumers that were let go: as long as no look shows a running instance of one, only its files are kept right, and nothing else
//! is asked of it.

use crate::left::{is_of_gone, shows_running};
use crate::state::{Hold, Phase, Reason, State, UnitStep};
use crate::{ConsumerId, Waived, Which, leave, unmoved};

/// The operator says that no instance of a consumer will work with any version.
pub(crate) fn waived(next: &mut State, consumer: ConsumerId) -> Result<(), &'static str> {
    if next.consumer(consumer).is_none() {
        return Err("the rotation has no such consumer");
    }
    if next.looks.last_standing(next.now()).is_some_and(|look| shows_running(&look.seen, consumer)) {
        return Err("an instance of it is running: waive or end that");
    }
    leave::let_go(next, Waived::Gone(consumer));
    send(next, consumer.index());
    if next.hold().is_some_and(|hold| is_about(next, hold, consumer)) {
        leave::release(next);
    }
    Ok(())
}

/// The files of a unit that failed, or that moves to the other version, are written once more.
fn send(next: &mut State, at: usize) {
    let Some(unit) = next.units.get(at) else { return };
    let (back, moved) = (next.phase() == Phase::RollingBack, unit.moved);
    let again = match unit.toward {
        Which::Old => !back || !unmoved::is_unmoved(next, at),
        // A rollback turns it round like every unit.
        Which::New => !back && unit.stage == UnitStep::Failed,
    };
    let (toward, slots) = if back { (Which::Old, moved) } else { (Which::New, 0) };
    if again {
        next.units.send(at, toward, slots, next.now());
    }
    for file in next.plan().consumers.get(at).map(|it| it.files.clone()).unwrap_or_default() {
        next.files.try_again(file);
    }
}

/// Whether a hold is about a consumer that has gone.
fn is_about(state: &State, hold: Hold, consumer: ConsumerId) -> bool {
    match hold.reason() {
        Reason::Unit(id) | Reason::Unaccepted(id) | Reason::Canary(id) => id == consumer,
        Reason::Unclear(seq) => state.intents.find(seq).is_some_and(|open| is_of_gone(state, &open.op)),
        // In a rollback a file that cannot be restored holds nothing up.
        Reason::Foreign(file) | Reason::Unreadable(file) => {
            state.phase() == Phase::RollingBack && state.is_left_behind(file)
        }
        Reason::Asked
        | Reason::Holder(_)
        | Reason::Stranger(_)
        | Reason::Unsearched(_)
        | Reason::ChangedElsewhere
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::Consent
        | Reason::Failed(_)
        | Reason::Overdue(_)
        | Reason::LastUseNotShown
        | Reason::Drifting
        | Reason::UnknownLabel(_) => false,
    }
}
