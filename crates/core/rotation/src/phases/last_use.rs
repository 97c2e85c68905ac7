//! Where the issuer shows when a key was last used: the window in which the key that the phase ends must be unused. In Quiesce
//! that is the old key, in a rollback the new one, which an unseen machine may have taken from a copy or the store.

use crate::gate::blockers;
use crate::state::{Hold, Phase, Reason, State};
use crate::{Waived, Which, deadlines};

/// How long the issuer is asked again after its silence was waived, beside the time of one request, milliseconds.
const ASKED_AGAIN_MS: u64 = 10_000;

/// The window in which the key must be unused, if it is still open.
pub(super) fn open_window(state: &State) -> Option<u64> {
    if state.is_waived(&Waived::LastUse) && asked_again_until_ms(state).is_none() {
        return None;
    }
    // Nobody can use a key that somebody else has ended.
    if state.phase() == Phase::RollingBack && state.uses.is_gone() {
        return None;
    }
    deadlines::unused_ms(state).filter(|ms| !state.uses.idle_for(*ms))
}

/// Until when the issuer is asked again although its silence was waived: it may answer by now, and what it shows counts more than
/// the waiver. It is asked once everything else has left the key, and a look may take long: the time begins with the later of the
/// waiver and the look. None once it was asked in vain, and in rotations of protocol 15 and before.
pub(crate) fn asked_again_until_ms(state: &State) -> Option<u64> {
    if !state.is_since(16) || !state.is_waived(&Waived::LastUse) {
        return None;
    }
    let asked_ms = if state.phase() == Phase::Quiesce {
        let look = state.fresh_look(state.position.entered())?;
        let began = [state.position.since(), look.at].into_iter().filter_map(|at| state.now().since(at));
        began.min().unwrap_or(0)
    } else if state.phase() == Phase::RollingBack {
        // Further looks follow, on which the deletion rests: only the first one begins the time.
        state.uses.asked_again().and_then(|at| state.now().since(at)).unwrap_or(0)
    } else {
        return None;
    };
    let time_ms = state.plan().capabilities.request_ms_max.saturating_add(ASKED_AGAIN_MS);
    let left_ms = time_ms.checked_sub(asked_ms).filter(|left_ms| *left_ms > 0)?;
    Some(state.now().ms.saturating_add(left_ms))
}

/// When the key was last used, by the issuer's own clock, where that alone keeps the rotation here: everything that keyroll sees
/// has left the key.
pub(crate) fn still_used(state: &State) -> Option<u64> {
    let back = state.phase() == Phase::RollingBack;
    let asks = state.phase() == Phase::Quiesce || (back && state.units.have_all_settled(Which::Old));
    let stays = if back { Which::Old } else { Which::New };
    let look = state.fresh_look(state.position.entered()).filter(|_| asks)?;
    let open = blockers(state, look, stays).is_empty();
    open_window(state).filter(|_| open).and_then(|_| state.uses.last_used())
}

/// Pauses a phase whose time is over although the issuer did not show when the key was last used.
pub(super) fn stands_unshown(next: &mut State) -> bool {
    let unshown = open_window(next).is_some_and(|ms| !next.uses.is_shown(ms, next.now()));
    // The end of the phase is no pause while the issuer is asked again: another waiver would only ask it once more.
    if !unshown || asked_again_until_ms(next).is_some() || !deadlines::late(next) {
        return false;
    }
    next.stand(Hold::Paused(Reason::LastUseNotShown));
    true
}
