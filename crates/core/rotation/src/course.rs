//! The way a rotation takes: what its plan and its state imply, and in which phase it continues.

use std::collections::BTreeSet;

use crate::state::{Hold, Intent, IntentStatus, OldKey, Phase, Reason, State, Streak};
use crate::{Emergency, EndpointId, HostId, MintedBy, OnFailure, Op, Refusals, Seq, SharedList, Which};

/// The sealed value of an abandoned new version is still being dropped.
pub(crate) fn dropping(state: &State) -> bool {
    state.intents().iter().any(|open| open.op == Op::Retire(Which::New))
}

/// The old value is dropped, or is being dropped: nothing can be compared with it any more.
pub(crate) fn old_dropped(state: &State) -> bool {
    let dropping = state.intents().iter().any(|open| open.op == Op::Retire(Which::Old));
    state.new.is_retired() || dropping
}

/// Whether the old key may be ended next, so that the new one must be accepted. *Revoke now* ends it in any case.
pub(crate) fn must_stand(state: &State) -> bool {
    let ending = watching(state) || (state.phase() == Phase::Revoke && state.old_key() != OldKey::Ended);
    ending && state.new_version().is_some() && state.emergency() != Some(Emergency::RevokeNow)
}

/// The phases in which the old key may be disabled. A refused use of the old key then shows that it is still needed.
pub(crate) fn watching(state: &State) -> bool {
    matches!(state.phase(), Phase::Disable | Phase::Soak | Phase::Decide) && !state.decided()
}

/// A refused use of the old key can be seen.
pub(crate) fn refusals_visible(state: &State) -> bool {
    state.plan().capabilities.refusals != Refusals::NotVisible
}

/// The operator makes the new key at the issuer's console.
pub(crate) fn made_by_hand(state: &State) -> bool {
    state.plan().capabilities.minted_by == MintedBy::Human || state.minting.is_by_hand()
}

/// Whether a mint of ours ends the old value, by a decision that rests on a look. An operator who makes the value at a
/// console takes their time.
pub(crate) fn mint_ends_old(state: &State) -> bool {
    let ended = state.old_key() == OldKey::Ended;
    let ours = state.exchanges() && !made_by_hand(state);
    ours && state.decided() && !ended && state.emergency().is_none()
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

/// The phase after the end of the old key. Revoke comes first where sessions or abandoned versions must still be ended.
pub(crate) fn after_end(state: &State) -> Phase {
    let lives_on = !state.abandoned().is_empty() || has_sessions(state);
    if lives_on { Phase::Revoke } else { Phase::ConfirmDead }
}

/// Sessions outlive the old key and can be ended. Where minting exchanges, they cannot be distinguished from sessions
/// of the new key.
pub(crate) fn has_sessions(state: &State) -> bool {
    state.plan().capabilities.sessions && !state.exchanges()
}

/// The endpoints as the driver's own machine reaches them: those of the host of the first one. What is decided under a time
/// limit, or while a host may be away, rests on these alone.
pub(crate) fn own_endpoints(state: &State) -> impl Iterator<Item = EndpointId> + use<'_> {
    let plan = state.plan();
    let own = plan.endpoints.first();
    let all = (0u16..).map(EndpointId).zip(&plan.endpoints);
    all.filter(move |(_, host)| Some(*host) == own).map(|(endpoint, _)| endpoint)
}

/// All endpoints, from each host that is there: those of a host that has left, or did not answer the last look, are not asked.
pub(crate) fn endpoints_from_all(state: &State) -> impl Iterator<Item = EndpointId> + use<'_> {
    let absent = state.look().into_iter().flat_map(|look| &look.seen.absent);
    let away: BTreeSet<HostId> = state.left_hosts().into_iter().chain(absent.copied()).collect();
    let all = (0u16..).map(EndpointId).zip(&state.plan().endpoints);
    all.filter(move |(_, host)| !away.contains(*host)).map(|(endpoint, _)| endpoint)
}

/// Those of the driver's own machine whose streak is not long enough.
pub(crate) fn not_yet(state: &State, streaks: &SharedList<Streak>, need: u8) -> Vec<EndpointId> {
    own_endpoints(state).filter(|endpoint| is_short(streaks, *endpoint, need)).collect()
}

/// Whether every endpoint accepted the old key often enough in this phase.
pub(crate) fn sees_old(state: &State) -> bool {
    not_yet(state, state.answers.alive(), state.plan().policy.probes_alive).is_empty()
}

/// Whether too few answers in a row came from an endpoint.
pub(crate) fn is_short(streaks: &SharedList<Streak>, endpoint: EndpointId, need: u8) -> bool {
    streaks.get(endpoint.index()).is_none_or(|streak| streak.count < need)
}

/// The endpoints that were not asked about the new version since the look on which the end of the old one would rest: the
/// issuer may have lost it since its proofs. *Revoke now* asks nothing.
pub(crate) fn unseen_new(state: &State, after: Seq) -> Vec<EndpointId> {
    let asks = state.new_version().is_some() && state.emergency() != Some(Emergency::RevokeNow);
    let Some(look) = state.young_look(after).filter(|_| asks) else { return Vec::new() };
    let (at, streaks) = (look.at, state.answers.accepted_new());
    let seen = |endpoint: &EndpointId| {
        let last = streaks.get(endpoint.index()).and_then(|streak| streak.last);
        last.is_some_and(|last| last.since(at).is_some())
    };
    own_endpoints(state).filter(|endpoint| !seen(endpoint)).collect()
}

/// Every consumer was moved to the new version, or has a key of its own.
pub(crate) fn rolled(state: &State) -> bool {
    (state.promoted() || !state.aim().makes_new()) && state.units.have_all_settled(Which::New)
}

/// The first intent whose outcome is unknown. Nothing new is begun while there is one.
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

/// Where minting exchanges, the mint itself ends the old value: after the mint nothing can be rolled back.
pub(crate) fn no_way_back(state: &State) -> bool {
    state.exchanges() && (state.decided() || state.minted().is_some())
}

/// Turns a rollback into a roll-out. A new credential whose deletion was begun is abandoned, and so is a chosen value
/// that is being dropped.
pub(crate) fn turn_round(next: &mut State) {
    if next.new.is_deleting() {
        next.abandon();
    }
    // Only from a Promote on does the host know what a program that reads the store again has read.
    if next.promoted() && next.plan().consumers.iter().any(crate::Consumer::follows_live) {
        next.new.promote_again();
    }
    next.units.send_all(next.now());
    let to = first_unfinished(next);
    next.enter(to);
    // What a rollback passes by holds what ends a key.
    if next.old.has_stranger() {
        next.stand(Hold::Stuck(Reason::UnknownLabel(Seq::MAX)));
    }
}

/// The first phase whose result does not exist yet.
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
