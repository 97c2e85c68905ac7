//! How long each phase, and the outcome of an operation, may be waited for.

use crate::state::{Intent, IntentStatus, OldKey, State};
use crate::{LastUsed, ListedState, Op, Overlap, Phase, SearchLimit, Seq, Stamp};

/// How long Preflight asks again after unclear answers, milliseconds; nothing was changed yet.
const PREFLIGHT_MS_MAX: u64 = 60_000;

/// How long the present phase may last by itself: then it ends, or the rotation fails, pauses or is stuck.
fn limit_ms(state: &State) -> u64 {
    let (policy, capabilities) = (&state.plan().policy, &state.plan().capabilities);
    let phase = policy.phase_ms_max;
    match state.phase() {
        Phase::Preflight => phase.min(PREFLIGHT_MS_MAX),
        Phase::Probe => phase.saturating_add(capabilities.birth_ms_max),
        Phase::Quiesce if state.is_since(17) => {
            phase.saturating_add(policy.idle_ms.max(shown_unused_ms(state)))
        }
        Phase::Quiesce => phase.saturating_add(policy.idle_ms),
        Phase::Soak => phase.saturating_add(soak_ms(state)),
        Phase::ConfirmDead => {
            phase.saturating_add(capabilities.death_ms_max.saturating_mul(2)).saturating_add(grace_ms(state))
        }
        Phase::RollingBack => phase.saturating_add(policy.unit_ms_max).saturating_add(shown_unused_ms(state)),
        Phase::Mint
        | Phase::Stage
        | Phase::Roll
        | Phase::Disable
        | Phase::Decide
        | Phase::Revoke
        | Phase::Sweep
        | Phase::Done
        | Phase::RolledBack => phase,
    }
}

/// How long the key that this phase ends must be unused, where the issuer shows that: the new one in a rollback, else the old one.
/// None where no key is ended, where an emergency does not wait for it, and where nobody can have the new key.
pub fn unused_ms(state: &State) -> Option<u64> {
    let LastUsed::PerKey { lag_ms, granularity_ms } = state.plan().capabilities.last_used else {
        return None;
    };
    let ends = if state.phase() == Phase::RollingBack {
        // Nothing hurries the end of the new key, in an emergency neither: what has leaked is the old one.
        state.heeds_new_use() && state.new_version().is_some() && state.new.was_given_out()
    } else {
        state.aim().ends_old() && state.emergency().is_none() && state.old_key() != OldKey::Ended
    };
    ends.then(|| state.plan().policy.idle_ms.max(lag_ms.saturating_add(granularity_ms)))
}

/// How long it may take until the issuer has shown the key unused for long enough: a use from right before the window appears as
/// late as the issuer shows it, and begins the window anew.
fn shown_unused_ms(state: &State) -> u64 {
    let lag_ms = match state.plan().capabilities.last_used {
        LastUsed::PerKey { lag_ms, .. } => lag_ms,
        LastUsed::PerPrincipal | LastUsed::NotVisible => 0,
    };
    unused_ms(state).map_or(0, |unused_ms| unused_ms.saturating_add(lag_ms))
}

/// Until when the present phase may last, by the monotonic time of this driver.
pub(crate) fn until_ms(state: &State) -> u64 {
    state.now().ms.saturating_sub(waited_ms(state)).saturating_add(limit_ms(state))
}

/// The present phase lasts for longer than it may.
pub(crate) fn late(state: &State) -> bool {
    until_ms(state) <= state.now().ms
}

/// A wait that journals of protocol 3 and before did not end.
pub(crate) fn given_up(state: &State) -> bool {
    state.bounds_looks() && late(state)
}

/// Whether more looks may show no more: a search that ran out of time is repeated for as long as a unit may take.
pub(crate) fn unsearched_for_long(state: &State, limit: SearchLimit) -> bool {
    limit == SearchLimit::Size || state.overdue(state.plan().policy.unit_ms_max)
}

/// The length of the soak. An emergency does not soak: only uses that were already refused count.
pub(crate) fn soak_ms(state: &State) -> u64 {
    if state.emergency().is_some() { 0 } else { state.plan().policy.soak_ms }
}

/// How long the issuer accepts the old value after it made the new one.
pub(crate) fn grace_ms(state: &State) -> u64 {
    match state.plan().capabilities.overlap {
        Overlap::Grace { ms } => ms,
        Overlap::Independent { .. } | Overlap::TwoSlots | Overlap::None => 0,
    }
}

/// How long the present phase has waited, as far as this driver has measured it. In Decide the last look or the consent
/// began a new wait: the operator takes their time.
fn waited_ms(state: &State) -> u64 {
    let mut began = [Some(state.position.since()), None, None];
    if state.phase() == Phase::Decide {
        began[1] = state.fresh_look(state.position.entered()).map(|look| look.at);
        began[2] = state.decisions.consent().map(|given| given.at);
    }
    began.into_iter().flatten().filter_map(|at| state.now().since(at)).min().unwrap_or(0)
}

/// How long an operation without an answer may still take effect, or have an effect that is not visible yet.
pub(crate) fn settle_ms(state: &State, op: &Op) -> u64 {
    let capabilities = &state.plan().capabilities;
    let request = capabilities.request_ms_max;
    match (op, capabilities.overlap) {
        (Op::Mint, Overlap::Grace { ms }) if !(capabilities.list && capabilities.label) => {
            // The old value works for the whole grace even if the new one was made.
            request.saturating_add(capabilities.birth_ms_max).saturating_add(ms)
        }
        (Op::Mint, _) => request.saturating_add(capabilities.birth_ms_max),
        (Op::Promote | Op::Demote, _) => request,
        (op, _) if op.at_issuer() => request,
        _ => 0,
    }
}

/// Whether a Disable may still arrive although the key is seen disabled: an earlier one whose answer was lost may have done that
/// or, as the last list before this one showed, another party. Its intent is closed only when it cannot arrive any more: a late
/// one would undo an Enable. Before protocol 18 only an earlier one counted.
pub(crate) fn may_still_disable(state: &State, intent: &Intent, since: Stamp) -> bool {
    if intent.op != Op::Disable || state.now().at_least(settle_ms(state, &intent.op), since) {
        return false;
    }
    let of_others = state.old.list().is_some_and(|list| {
        list.old == ListedState::Off && state.switching.enabled() < list.seq && list.seq < intent.seq
    });
    state.switching.is_disabled_again() || (of_others && state.is_since(18))
}

/// Until when it may stay unknown whether an operation was carried out.
pub(crate) fn doubt_until_ms(state: &State, seq: Seq) -> u64 {
    let found = state.intents.find(seq);
    let Some(Intent { op, status: IntentStatus::Unknown { since, .. }, .. }) = found else { return 0 };
    state.until_ms(*since, state.plan().policy.phase_ms_max.saturating_add(settle_ms(state, op)))
}
