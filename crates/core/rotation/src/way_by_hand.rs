//! What an operator does about the old key at the issuer's console.

use crate::gate::blockers;
use crate::next::{Outside, Step};
use crate::state::{OldKey, State};
use crate::waiting::old_key_use;
use crate::{Emergency, Next, Phase, Which, course};

/// Nobody saw the key work that a rollback goes back to, or saw it dead beside one that works: the operator may find at the console
/// that it is not there any more. Then the rotation goes forward.
pub(crate) fn found_ended(state: &State) -> Option<Step> {
    let unseen = state.phase() == Phase::RollingBack && !course::sees_old(state);
    let sayable = unseen && Next::HandRevoked.is_possible(state);
    sayable.then(|| Step::only(Next::HandRevoked))
}

/// The operator may end the old key at the console, or have ended it, once nothing needs it any more.
pub(crate) fn by_hand(state: &State) -> Option<Step> {
    let left = || state.look().is_some_and(|look| blockers(state, look, Which::New).is_empty());
    let unused = || course::rolled(state) && left() && old_key_use(state).is_none();
    let at_once = state.emergency() == Some(Emergency::RevokeNow);
    let lives = state.phase() != Phase::RollingBack && state.old_key() != OldKey::Ended;
    let ends = lives && (at_once || unused()) && Next::HandRevoked.is_possible(state);
    ends.then(|| Step::after(Outside::EndOldKey, Next::HandRevoked))
}
