//! Which way a rotation takes: what its plan and its state imply, and where it goes on.

use crate::state::{Hold, Intent, IntentStatus, OldKey, Phase, Reason, Stage, State, Streak, Unit};
use crate::{EndpointId, MintedBy, OnFailure, Op, Refusals, Seq, Which};

/// What is sealed of a new version that was given up is still being dropped.
pub(crate) fn dropping(state: &State) -> bool {
    state.intents().iter().any(|open| open.op == Op::Retire(Which::New))
}

/// The phases in which the old key may be off, and a refused use of it shows that it is still needed.
pub(crate) fn watching(state: &State) -> bool {
    matches!(state.phase(), Phase::Disable | Phase::Soak | Phase::Decide) && !state.decided()
}

/// A refused use of the old key can be seen.
pub(crate) fn refusals_visible(state: &State) -> bool {
    state.plan().capabilities.refusals != Refusals::NotVisible
}

/// The phase after Preflight.
pub(crate) fn first(state: &State) -> Phase {
    if !state.aim().makes_new() {
        return Phase::Quiesce;
    }
    let decide_first = state.exchanges() && !state.decided() && state.old_key() != OldKey::Ended;
    match (decide_first, state.plan().capabilities.minted_by) {
        (true, MintedBy::Us) => Phase::Mint,
        (true, MintedBy::Api | MintedBy::Human) => Phase::Decide,
        (false, _) => Phase::Mint,
    }
}

/// The phase after the end of the old key: its sessions, and versions that were abandoned, are ended too.
pub(crate) fn after_end(state: &State) -> Phase {
    let lives_on = !state.abandoned().is_empty() || has_sessions(state);
    if lives_on { Phase::Revoke } else { Phase::ConfirmDead }
}

/// Sessions outlive the old key. Where minting exchanges they cannot be distinguished from those of the new one.
pub(crate) fn has_sessions(state: &State) -> bool {
    state.plan().capabilities.sessions && !state.exchanges()
}

/// The endpoints whose streak is not long enough.
pub(crate) fn not_yet(state: &State, streaks: &[Streak], need: u8) -> Vec<EndpointId> {
    let short =
        |endpoint: &EndpointId| streaks.get(endpoint.index()).is_none_or(|streak| streak.count < need);
    state.plan().endpoint_ids().filter(short).collect()
}

/// Everybody was moved to the new version, or has a key of their own.
pub(crate) fn rolled(state: &State) -> bool {
    let arrived = |unit: &Unit| unit.stage == Stage::Settled && unit.toward == Which::New;
    (state.promoted() || !state.aim().makes_new()) && state.units().iter().all(arrived)
}

/// Whether an operation on a version waits for an unknown outcome; then nothing new is begun.
pub(crate) fn in_question(state: &State) -> Option<Seq> {
    let unknown = |intent: &&Intent| matches!(intent.status, IntentStatus::Unknown { .. });
    state.intents().iter().find(unknown).map(|intent| intent.seq)
}

/// A phase before the point of no return failed: the policy says whether the rotation rolls back or pauses.
pub(crate) fn phases_fail(next: &mut State, reason: Reason) {
    let back = next.plan().policy.on_failure == OnFailure::Rollback;
    if back && !next.forward_only() && !no_way_back(next) {
        next.enter(Phase::RollingBack);
    } else {
        next.stand(Hold::Paused(reason));
    }
}

/// With overlap none or grace the mint itself ends the old value: after it nothing can be rolled back.
pub(crate) fn no_way_back(state: &State) -> bool {
    state.exchanges() && (state.decided() || state.minted().is_some())
}

/// Turns a rollback into a roll-out. A new credential whose deletion was begun is not relied on, nor a value that
/// was chosen and is being dropped.
pub(crate) fn turn_round(next: &mut State) {
    if next.new.is_deleting() {
        next.abandon();
    }
    next.units.send_all(next.now());
    let to = first_unfinished(next);
    next.enter(to);
}

/// Where the way forward begins again, by what is already there.
pub(crate) fn first_unfinished(state: &State) -> Phase {
    if state.answers.preflight() != Some(true) && state.emergency().is_none() {
        Phase::Preflight
    } else if state.new_version().is_none() {
        Phase::Mint
    } else if !state.new.is_checked() {
        Phase::Stage
    } else {
        Phase::Probe
    }
}
