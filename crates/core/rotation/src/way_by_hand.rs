//! What an operator does about the old key at the issuer's console.

use crate::gate::blockers;
use crate::next::{Outside, Step};
use crate::state::{OldKey, State};
use crate::waiting::old_key_use;
use crate::{Emergency, Next, Phase, Which, course};

/// The operator may end the old key at the console, or have ended it, once nothing needs it any more.
pub(crate) fn by_hand(state: &State) -> Option<Step> {
    let left = || state.look().is_some_and(|look| blockers(state, look, Which::New).is_empty());
    let unused = || course::rolled(state) && left() && old_key_use(state).is_none();
    let at_once = state.emergency() == Some(Emergency::RevokeNow);
    let lives = state.phase() != Phase::RollingBack && state.old_key() != OldKey::Ended;
    let ends = lives && (at_once || unused()) && Next::HandRevoked.is_possible(state);
    ends.then(|| Step::after(Outside::EndOldKey, Next::HandRevoked))
}
