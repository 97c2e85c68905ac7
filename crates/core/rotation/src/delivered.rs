//! When a unit has what it loads: its files, and what it fetches.

use crate::state::State;
use crate::{Delivery, FileId, Holds, Op, Which};

/// A unit has its files, and has fetched what it fetches. One that has gone fetches only what is in its files.
pub(crate) fn is_delivered(state: &State, at: usize) -> bool {
    let (Some(unit), Some(consumer)) = (state.units.get(at), state.plan().consumers.get(at)) else {
        return false;
    };
    let written = || consumer.files.iter().all(|file| is_written(state, at, *file));
    let needless = || state.unit_has_gone(at) && consumer.files.iter().all(|file| state.accepts_file(*file));
    match consumer.delivery {
        Delivery::Push => written(),
        Delivery::Fetch => written() && (unit.fetched || needless()),
        Delivery::Follow => true,
    }
}

/// A file of a unit holds the version that the unit moves to, or it stays as it is.
pub(crate) fn is_written(state: &State, at: usize, file: FileId) -> bool {
    let toward = state.units.get(at).map_or(Which::New, |unit| unit.toward);
    let given_up = || toward == Which::Old && state.unit_has_gone(at) && state.files.is_given_up(file);
    state.files.get(file) == Holds::of(toward) || is_left_alone(state, file) || given_up()
}

/// A file was accepted as it stands, and no write from before is under way.
fn is_left_alone(state: &State, file: FileId) -> bool {
    let writes = |op: &Op| matches!(op, Op::Deliver(one, _) if *one == file);
    state.accepts_file(file) && !state.intents().iter().any(|open| writes(&open.op))
}
