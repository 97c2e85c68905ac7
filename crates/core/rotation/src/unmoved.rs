//! Which consumers and files the new version never reached: the way back asks nothing of them.

use crate::state::State;
use crate::{Consumer, Delivery, FileId, Which};

/// Whether the new version can never have reached a consumer: it loaded it in no slot, and none of its files ever held it.
/// One that reads the store may have loaded it in every slot once a Promote may have been carried out. Journals of protocol 3 and
/// before asked for its proofs.
pub fn is_unmoved(state: &State, at: usize) -> bool {
    let Some((unit, consumer)) = state.units.get(at).zip(state.plan().consumers.get(at)) else {
        return false;
    };
    let begun = unit.toward == Which::New && unit.stage.is_moving();
    state.bounds_looks()
        && unit.moved == 0
        && !begun
        && consumer.delivery != Delivery::Fetch
        && consumer.files.iter().all(|file| never_had_new(state, *file))
}

/// Whether the store may have given out the new version. A Promote that met another party's value before it changed
/// anything did not.
pub fn may_be_given_out(state: &State) -> bool {
    state.new.may_have_been_promoted()
}

/// Whether the new version can never have been in a file. What a consumer fetches is not known.
pub(crate) fn never_had_new(state: &State, file: FileId) -> bool {
    let pushed = |at: &usize| state.plan().consumers.get(*at).is_some_and(Consumer::is_pushed);
    state.bounds_looks() && !state.files.had_new(file) && state.units.index().readers(file).iter().all(pushed)
}
