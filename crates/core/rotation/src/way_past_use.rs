//! The ways past an old key that the issuer shows in use, or of which it does not say whether it is.

use crate::next::{Outside, Step, go_on};
use crate::phase::{Hold, Phase, Reason};
use crate::state::State;
use crate::waiting::{OldKeyUse, old_key_use};
use crate::{Incarnation, Next, Visibility, Waived};

/// The most waived processes that are named.
const USERS_MAX: usize = 3;

/// What the issuer does not show may still be used: nothing ends the key before it was disabled, or consented to. Only an issuer
/// that does not answer is waived, and last: an outage passes.
pub(crate) fn past_use(state: &State) -> Vec<Step> {
    let on = go_on(state);
    let unshown = state.hold() == Some(Hold::Paused(Reason::LastUseNotShown));
    match old_key_use(state) {
        Some(OldKeyUse::Unanswered) => {
            let waived = unshown.then(|| Step::both(Next::Waive(Waived::LastUse), on));
            std::iter::once(Step::after(Outside::MendIssuer, on)).chain(waived).collect()
        }
        // An earlier driver heard the issuer: it is asked again before anything is waived.
        None if unshown => vec![Step::only(on)],
        Some(OldKeyUse::Shown(_)) | None => {
            let ended = waived_users(state).map(|who| Step::after(Outside::EndProcess(who), on));
            ended.chain(std::iter::once(Step::after(Outside::EndUsers, on))).collect()
        }
    }
}

/// The undeclared processes that may keep the old key by a waiver, and that the last look saw with it.
pub fn waived_users(state: &State) -> impl Iterator<Item = Incarnation> {
    let seen = state.look().into_iter().flat_map(|look| &look.seen.instances);
    let back = state.phase() == Phase::RollingBack;
    let has = move |it: &&crate::ObservedInstance| (if back { it.new } else { it.old }) == Visibility::Yes;
    let users = seen.filter(|it| it.consumer.is_none()).filter(has).map(|it| it.who);
    users.filter(move |who| state.is_waived(&Waived::Holder(*who))).take(USERS_MAX)
}
