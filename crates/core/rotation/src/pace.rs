//! How a roll is paced: waves, the canary, hosts, pauses. Plans of protocol 9 and before are not.

use crate::plan::{Canary, Consumer, GRACE_TENTHS, RollPolicy};
use crate::state::{Hold, OldKey, Phase, Reason, State, Unit, UnitStep, next_slot};
use crate::{ConsumerId, HostId, Overlap, ReloadMode, Want, Which, course};

/// How old the last look at a canary may become, beyond the time of a unit, milliseconds.
const BLIND_MS: u64 = 30_000;

/// How this roll is paced. Nobody waits in an emergency, or where the new key alone is alive.
fn paced(state: &State) -> Option<RollPolicy> {
    let alone = match state.plan().capabilities.overlap {
        Overlap::None => true,
        // The old value ended when the new one was made, and works for the time of the grace: as long as that is long enough
        // to move everybody without a pause.
        Overlap::Grace { ms } => state.plan().recovery || !grace_lasts(state, ms),
        Overlap::Independent { .. } | Overlap::TwoSlots => state.old_key() == OldKey::Ended,
    };
    let urgent = state.emergency().is_some() || alone;
    state.plan().policy.roll.filter(|_| state.phase() == Phase::Roll && !urgent)
}

/// Whether enough is left of a grace, as far as this driver has measured it, to move everybody without a pause.
fn grace_lasts(state: &State, ms: u64) -> bool {
    let needed = state.units.index().unpaced_ms_max();
    let passed = state.old.ended_at().and_then(|at| state.now().since(at));
    passed.is_some_and(|passed| passed.saturating_add(needed) <= ms / 10 * GRACE_TENTHS)
}

fn watches(roll: RollPolicy) -> bool {
    roll.bake_ms > 0 || roll.ask
}

fn turn(state: &State, at: usize) -> Option<(bool, u8)> {
    state.plan().consumers.get(at).map(Consumer::turn)
}

fn host(state: &State, at: usize) -> Option<HostId> {
    state.plan().consumers.get(at).map(|consumer| consumer.host)
}

/// The unit that is moved first: the first of the first turn, of those that may be.
fn first(state: &State) -> Option<usize> {
    state.units.index().turns().find_map(|units| units.iter().find(|at| is_first(state, *at)))
}

/// Whether a unit belongs to the canary.
fn is_canary(state: &State, at: usize) -> bool {
    let (Some(roll), Some(first)) = (state.plan().policy.roll, first(state)) else { return false };
    match roll.canary {
        Canary::Instance | Canary::Consumer => at == first,
        Canary::Host => is_first(state, at) && go_together(state, at, first),
    }
}

/// Whether two units are moved in the same turn on the same host.
fn go_together(state: &State, one: usize, other: usize) -> bool {
    let consumers = &state.plan().consumers;
    consumers.get(one).zip(consumers.get(other)).is_some_and(|(one, other)| one.goes_with(other))
}

/// The units of the canary, in their order.
fn canaries(state: &State) -> Vec<usize> {
    let (Some(roll), Some(first)) = (state.plan().policy.roll, first(state)) else { return Vec::new() };
    match (roll.canary, host(state, first)) {
        (Canary::Host, Some(host)) => {
            let there = state.units.index().on_host(host).iter().copied();
            there.filter(|at| is_first(state, *at) && go_together(state, *at, first)).collect()
        }
        (Canary::Instance | Canary::Consumer | Canary::Host, _) => vec![first],
    }
}

/// Whether a unit may be the canary: it was there when the roll was begun, has not gone, and is not on a host that has left.
fn is_first(state: &State, at: usize) -> bool {
    at < state.units.pacing.consumers() && !state.is_out_of_reach(at)
}

/// The consumers that are moved first, where the plan says how its roll is paced.
pub fn canary(state: &State) -> Vec<ConsumerId> {
    canaries(state).into_iter().filter_map(|at| u16::try_from(at).ok().map(ConsumerId)).collect()
}

/// Whether a unit whose slot is proven stays there and is watched: the canary until it has passed, and every unit during the
/// pause before its next slot (`more`).
pub(crate) fn stays(state: &State, at: usize, more: bool) -> bool {
    let (Some(roll), Some(unit)) = (paced(state), state.units.get(at)) else { return false };
    if unit.toward != Which::New {
        return false;
    }
    let waits = !more || roll.canary == Canary::Instance;
    if !state.units.pacing.passed() && watches(roll) && waits && is_canary(state, at) {
        return true;
    }
    let paused = unit.watched && state.now().at_least(roll.pause_ms, unit.since);
    more && roll.pause_ms > 0 && !paused
}

/// Whether a unit of the canary is watched, and not only pauses before its next slot.
pub(crate) fn is_watched_canary(state: &State, at: usize) -> bool {
    let Some(roll) = paced(state).filter(|_| !state.units.pacing.passed()) else { return false };
    is_canary(state, at) && is_shown(state, roll, at)
}

/// Until when a watched unit is watched: the end of its time, and after that the time by which a look must show it again.
pub(crate) fn watched_until_ms(state: &State, at: usize) -> u64 {
    let Some(unit) = state.units.get(at) else { return state.now().ms };
    let planned = state.until_ms(unit.since, watch_ms(state, at));
    if planned > state.now().ms || !is_watched_canary(state, at) {
        return planned;
    }
    state.until_ms(unit.shown.unwrap_or(unit.since), blind_ms_max(state))
}

/// How old the last look at what is watched may become.
fn blind_ms_max(state: &State) -> u64 {
    state.plan().policy.unit_ms_max.saturating_add(BLIND_MS)
}

/// No look has shown for too long that the canary works: it must be proven again.
pub(crate) fn is_out_of_sight(state: &State, at: usize) -> bool {
    let last = state.units.get(at).map(|unit| unit.shown.unwrap_or(unit.since));
    let blind = last.is_some_and(|last| state.now().at_least(blind_ms_max(state), last));
    // While the rotation is held nobody looks.
    blind && state.hold().is_none() && is_watched_canary(state, at)
}

/// How long a watched unit is watched at least, milliseconds.
pub(crate) fn watch_ms(state: &State, at: usize) -> u64 {
    let Some(roll) = paced(state) else { return 0 };
    match is_watched_canary(state, at) {
        true if state.units.pacing.answered() => 0,
        true => roll.bake_ms,
        false => roll.pause_ms,
    }
}

/// A unit of the canary is proven as far as it must be, and is watched. The pause before its next slot is no such watch.
fn is_shown(state: &State, roll: RollPolicy, at: usize) -> bool {
    let watched = state.units.get(at).is_some_and(|unit| unit.watched);
    watched && watches(roll) && (roll.canary == Canary::Instance || next_of(state, at).is_none())
}

/// The canary is proven, and was watched for its time: the operator is asked, or the others begin. Returns whether
/// anything changed.
pub(crate) fn pass_canary(next: &mut State) -> bool {
    let Some(roll) = paced(next).filter(|_| !next.units.pacing.passed()) else { return false };
    let Some(first) = first(next) else { return pass_without(next) };
    // Only a look shows that it works, and only one after its time that it has worked for so long. An operator who was asked
    // lets it pass once it is seen to work still.
    let bake_ms = if next.units.pacing.answered() { 0 } else { roll.bake_ms };
    let baked = |at: usize, unit: &Unit| {
        is_shown(next, roll, at) && unit.shown.is_some_and(|last| last.at_least(bake_ms, unit.since))
    };
    let done = |at: &usize| next.units.get(*at).is_some_and(|unit| unit.has_arrived() || baked(*at, unit));
    if !canaries(next).iter().all(done) {
        return false;
    }
    let watched = next.units.moving().any(|at| next.units.get(at).is_some_and(|unit| unit.watched));
    let asked = u16::try_from(first)
        .ok()
        .map(ConsumerId)
        .filter(|_| roll.ask && watched && !next.units.pacing.answered());
    match asked {
        Some(canary) => next.stand(Hold::Paused(Reason::Canary(canary))),
        None => next.units.pacing.pass(next.now()),
    }
    true
}

/// Where everybody who might be the canary was let go, the others begin without one.
fn pass_without(next: &mut State) -> bool {
    let has_left = || next.is_since(18) && next.exceptions.left().next().is_some();
    let nobody = next.exceptions.gone().next().is_some() || has_left();
    if nobody {
        next.units.pacing.pass_without(next.now());
    }
    nobody
}

/// Whether a unit goes back to the old value alone: until it is there, nobody begins with the new one.
pub(crate) fn retreats(state: &State) -> bool {
    state.plan().policy.roll.is_some() && state.units.is_any_retreating()
}

/// The unit that begins next, where the roll is paced. Those whose files keyroll does not write may begin only if `pulled`.
pub(crate) fn next_unit(state: &State, pulled: bool) -> Option<Option<usize>> {
    let roll = paced(state)?;
    if left_ms(state, roll) > 0 || state.units.failed().next().is_some() {
        return Some(None);
    }
    let busy = || state.units.moving();
    let mut hosts: Vec<HostId> = busy().filter_map(|at| host(state, at)).collect();
    // The canary goes alone; units of it that are proven already only wait.
    let passed = state.units.pacing.passed();
    let full = if passed {
        hosts.len() >= usize::from(state.plan().policy.parallel_max)
    } else {
        busy().any(|at| !is_shown(state, roll, at))
    };
    if full {
        return Some(None);
    }
    hosts.sort_unstable();
    hosts.dedup();
    // Only units of a wave in which somebody has not arrived wait.
    let counts = in_waves(state);
    let open = |pulls: bool| state.units.open_wave(pulls, &counts).filter(|_| pulled || !pulls);
    if passed && hosts.len() < usize::from(roll.hosts_max) {
        let first =
            |pulls| open(pulls).and_then(|(_, units)| state.units.waiting_of(Which::New, units).next());
        return Some(first(false).or_else(|| first(true)));
    }
    let [pushed, others] = [open(false), open(true)].map(|open| open.map(|(wave, _)| wave));
    let has_come = |(pulls, wave): (bool, u8)| {
        let open = if pulls { others } else { pushed };
        open == Some(wave)
    };
    let may_begin = |at: &usize| waits(state, *at) && turn(state, *at).is_some_and(has_come);
    let fits = if passed { on_hosts(state, &hosts) } else { canaries(state) };
    Some(fits.into_iter().filter(may_begin).min_by_key(|at| (turn(state, *at), *at)))
}

/// The roll is paced, and its canary has not passed.
pub(crate) fn waits_for_canary(state: &State) -> bool {
    paced(state).is_some() && !state.units.pacing.passed()
}

/// Whether a unit counts in the waves. Until the canary has passed only those do of which one is it: one that was adopted meanwhile,
/// or that has gone, begins behind it, in whatever wave. In rotations of protocol 17 and before the canary waited for their wave,
/// and they waited for the canary.
fn in_waves(state: &State) -> impl Fn(usize) -> bool {
    let alone = state.is_since(18) && waits_for_canary(state) && first(state).is_some();
    move |at| !alone || is_first(state, at)
}

/// Every consumer whose files keyroll writes, of those that count in the waves, has arrived.
pub(crate) fn are_pushed(state: &State) -> bool {
    state.units.open_wave(false, in_waves(state)).is_none()
}

/// The units on these hosts.
fn on_hosts(state: &State, hosts: &[HostId]) -> Vec<usize> {
    hosts.iter().flat_map(|host| state.units.index().on_host(*host)).copied().collect()
}

fn waits(state: &State, at: usize) -> bool {
    state.units.get(at).is_some_and(|unit| unit.stage == UnitStep::Waiting && unit.toward == Which::New)
}

/// How much of the pause after the last arrival is left, milliseconds.
fn left_ms(state: &State, roll: RollPolicy) -> u64 {
    let Some(last) = state.units.pacing.last() else { return 0 };
    roll.pause_ms.saturating_sub(state.now().since(last).unwrap_or(0))
}

/// How long nobody may begin although somebody waits, milliseconds.
pub(crate) fn pause_ms(state: &State) -> Option<u64> {
    let left = left_ms(state, paced(state)?);
    let waiting = state.units.waiting(Which::New).next().is_some();
    (left > 0 && waiting).then_some(left)
}

/// Nothing is asked or begun while an outcome is unknown: the time of the units that are on their way begins anew.
pub(crate) fn after_doubt(next: &mut State, before: &State) {
    let ended = course::in_question(before).is_some() && course::in_question(next).is_none();
    if ended && next.plan().policy.roll.is_some() {
        next.units.restart_time(next.now());
    }
}

/// What the pace of a roll waits for: the end of a pause.
pub(crate) fn wants(state: &State, out: &mut Vec<Want>) {
    if let Some(left) = pause_ms(state) {
        out.push(Want::Wait(left));
    }
}

/// What a watched unit waits for: the end of the time for which it is watched.
pub(crate) fn watch(state: &State, at: usize, out: &mut Vec<Want>) {
    let Some(unit) = state.units.get(at).filter(|unit| unit.watched) else { return };
    let passed = state.now().since(unit.since).unwrap_or(0);
    let left = watch_ms(state, at).saturating_sub(passed);
    if left > 0 {
        out.push(Want::Wait(left));
    }
}

/// Whether a unit is proven in all of its slots at once: the canary, once nothing is left to move in it.
pub(crate) fn is_whole(state: &State, at: usize) -> bool {
    next_of(state, at).is_none() && stays(state, at, false)
}

/// The slot of a unit that is moved next. One that reads the value again by itself, or is at rest, has no slots that are moved
/// one by one.
pub(crate) fn next_of(state: &State, at: usize) -> Option<u8> {
    let by_slots = state.plan().consumers.get(at)?.uptake == ReloadMode::Verb;
    state.units.get(at).filter(|_| by_slots).and_then(|unit| next_slot(unit.slots))
}
