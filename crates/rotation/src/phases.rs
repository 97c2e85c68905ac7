//! One file per phase: what it wants, and when it is over.

mod confirm_dead;
mod decide;
mod disable;
mod mint;
mod preflight;
mod probe;
mod quiesce;
mod revoke;
mod roll;
mod rolling_back;
mod soak;
mod stage;
mod sweep;

pub(crate) use sweep::was_wanted;

use crate::state::{OldKey, Phase, State, Streak};
use crate::{EndpointId, MintedBy, Op, Overlap, Refusals, Want, Which, unit};

/// What the present phase would have done next.
pub(crate) fn wants(state: &State, out: &mut Vec<Want>) {
    match state.phase {
        Phase::Preflight => preflight::wants(out),
        Phase::Mint => mint::wants(state, out),
        Phase::Stage => stage::wants(state, out),
        Phase::Probe => probe::wants(state, out),
        Phase::Roll => roll::wants(state, out),
        Phase::Quiesce => quiesce::wants(state, out),
        Phase::Disable => disable::wants(state, out),
        Phase::Soak => soak::wants(state, out),
        Phase::Decide => decide::wants(state, out),
        Phase::Revoke => revoke::wants(state, out),
        Phase::ConfirmDead => confirm_dead::wants(state, out),
        Phase::Sweep => sweep::wants(state, out),
        Phase::RollingBack => rolling_back::wants(state, out),
        Phase::Done | Phase::RolledBack => {}
    }
}

/// Makes at most one transition. Returns whether anything changed.
pub(crate) fn settle(next: &mut State) -> bool {
    if unit::advance(next) || unit::settle_retreat(next) {
        return true;
    }
    if next.hold.is_some() || crate::intent::in_question(next).is_some() {
        return false;
    }
    match next.phase {
        Phase::Preflight => preflight::settle(next),
        Phase::Mint => mint::settle(next),
        Phase::Stage => stage::settle(next),
        Phase::Probe => probe::settle(next),
        Phase::Roll => roll::settle(next),
        Phase::Quiesce => quiesce::settle(next),
        Phase::Disable => disable::settle(next),
        Phase::Soak => soak::settle(next),
        Phase::Decide => decide::settle(next),
        Phase::Revoke => revoke::settle(next),
        Phase::ConfirmDead => confirm_dead::settle(next),
        Phase::Sweep => sweep::settle(next),
        Phase::RollingBack => rolling_back::settle(next),
        Phase::Done | Phase::RolledBack => false,
    }
}

/// Minting ends the old value, now or soon: the point of no return comes first.
pub(crate) fn exchanges(state: &State) -> bool {
    matches!(state.plan.capabilities.overlap, Overlap::None | Overlap::Grace { .. })
}

/// What is sealed of a new version that was given up is still being dropped.
pub(crate) fn dropping(state: &State) -> bool {
    state.intents.iter().any(|open| open.op == Op::Retire(Which::New))
}

/// The phases in which the old key may be off, and a refused use of it says that somebody still needs it.
pub(crate) fn watching(state: &State) -> bool {
    matches!(state.phase, Phase::Disable | Phase::Soak | Phase::Decide) && state.decided.is_none()
}

/// A refused use of the old key can be seen.
pub(crate) fn refusals_visible(state: &State) -> bool {
    state.plan.capabilities.refusals != Refusals::NotVisible
}

/// The phase after Preflight.
pub(crate) fn first(state: &State) -> Phase {
    if !state.aim().makes_new() {
        return Phase::Quiesce;
    }
    let decide_first = exchanges(state) && state.decided.is_none() && state.old != OldKey::Ended;
    match (decide_first, state.plan.capabilities.minted_by) {
        (true, MintedBy::Us) => Phase::Mint,
        (true, MintedBy::Api | MintedBy::Human) => Phase::Decide,
        (false, _) => Phase::Mint,
    }
}

/// The phase after the end of the old key, whoever ended it: what lives on of it and of what was abandoned is ended too.
pub(crate) fn after_end(state: &State) -> Phase {
    let lives_on = !state.abandoned.is_empty() || has_sessions(state);
    if lives_on { Phase::Revoke } else { Phase::ConfirmDead }
}

/// Sessions outlive the old key. Where minting exchanges they cannot be told from those of the new one.
pub(crate) fn has_sessions(state: &State) -> bool {
    state.plan.capabilities.sessions && !exchanges(state)
}

/// The endpoints whose streak is not long enough.
pub(crate) fn not_yet(state: &State, streaks: &[Streak], need: u8) -> Vec<EndpointId> {
    let short =
        |endpoint: &EndpointId| streaks.get(endpoint.index()).is_none_or(|streak| streak.count < need);
    state.plan.endpoint_ids().filter(short).collect()
}

/// Everybody was moved to the new version, or has a key of their own.
pub(crate) fn rolled(state: &State) -> bool {
    let arrived = |unit: &crate::Unit| unit.stage == crate::Stage::Settled && unit.toward == Which::New;
    (state.promoted || !state.aim().makes_new()) && state.units.iter().all(arrived)
}
