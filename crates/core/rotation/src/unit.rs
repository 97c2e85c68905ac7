//! A unit: one consumer on its host, moved slot by slot to a version, in either direction.

use crate::course::{ATTEMPTS_MAX, phases_fail};
use crate::gate::shows;
use crate::state::{Hold, IntentStatus, Phase, Reason, Stage, State, all_slots, pushes};
use crate::{ConsumerId, Delivery, Holds, OnFailure, Op, Query, Uptake, Want, Which};

fn id(at: usize) -> Option<ConsumerId> {
    u16::try_from(at).ok().map(ConsumerId)
}

/// Puts a unit on its way, in this direction, with these slots to apply.
pub(crate) fn send(next: &mut State, at: usize, toward: Which, slots: u32) {
    let now = next.now;
    if let Some(unit) = next.units.get_mut(at) {
        unit.send(toward, slots, now);
    }
}

/// Lets a waiting unit begin.
pub(crate) fn start(next: &mut State, at: usize) {
    let Some(consumer) = next.plan.consumers.get(at) else { return };
    let all = all_slots(consumer);
    let now = next.now;
    if let Some(unit) = next.units.get_mut(at) {
        unit.stage = Stage::Delivering;
        unit.since = now;
        if unit.slots == 0 && unit.toward == Which::New {
            unit.slots = all;
        }
    }
}

/// An operation of a unit was journaled: from here on what was seen of that slot is void.
pub(crate) fn begun(next: &mut State, op: &Op) {
    match op {
        Op::Apply(consumer, slot, which) => {
            let at = consumer.index();
            if let Some(unit) = next.units.get_mut(at)
                && *which == Which::New
            {
                unit.first |= bit(*slot) & !unit.moved;
                unit.moved |= bit(*slot);
            }
            next.seen.void_proofs(|of, proof| of == *consumer && proof.slot == *slot);
        }
        Op::Deliver(file, which) => {
            let readers: Vec<ConsumerId> = readers(next, *file).collect();
            for consumer in readers {
                let rereads = next.consumer(consumer).is_some_and(|it| it.uptake != Uptake::Verb);
                let all = next.consumer(consumer).map_or(0, all_slots);
                if rereads {
                    next.seen.void_proofs(|of, _| of == consumer);
                }
                if let Some(unit) = next.units.get_mut(consumer.index())
                    && *which == Which::New
                    && rereads
                {
                    unit.moved |= all;
                }
            }
        }
        Op::Fetch(consumer) => {
            if next.consumer(*consumer).is_some_and(|it| it.uptake != Uptake::Verb) {
                next.seen.void_proofs(|of, _| of == *consumer);
            }
        }
        Op::Promote | Op::Demote => {
            for at in 0..next.units.len() {
                let follows =
                    next.plan.consumers.get(at).filter(|it| it.delivery == Delivery::Follow).map(all_slots);
                if let Some(all) = follows {
                    next.seen.void_proofs(|of, _| of.index() == at);
                    if let Some(unit) = next.units.get_mut(at) {
                        unit.moved |= all;
                    }
                }
            }
        }
        Op::Choose
        | Op::Mint
        | Op::Stage
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteNew
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => {}
    }
}

/// What was seen of consumers that re-read a file, or start from it, is void.
pub(crate) fn void_rereaders(next: &mut State, file: crate::FileId) {
    let readers: Vec<ConsumerId> = readers(next, file).collect();
    for consumer in readers {
        if next.consumer(consumer).is_some_and(|it| it.uptake != Uptake::Verb) {
            next.seen.void_proofs(|of, _| of == consumer);
        }
    }
}

fn readers(state: &State, file: crate::FileId) -> impl Iterator<Item = ConsumerId> + '_ {
    let consumers = state.plan.consumers.iter().enumerate();
    consumers.filter(move |(_, consumer)| consumer.files.contains(&file)).filter_map(|(at, _)| id(at))
}

fn bit(slot: u8) -> u32 {
    1u32.checked_shl(u32::from(slot)).unwrap_or(0)
}

pub(crate) fn fetched(next: &mut State, consumer: ConsumerId) {
    if let Some(unit) = next.units.get_mut(consumer.index()) {
        unit.fetched = true;
    }
    let toward = next.units.get(consumer.index()).map_or(Which::New, |unit| unit.toward);
    let files = next.consumer(consumer).map(|it| it.files.clone()).unwrap_or_default();
    for file in files {
        next.seen.set_file(file, Holds::of(toward));
    }
}

pub(crate) fn applied(next: &mut State, consumer: ConsumerId, slot: u8) {
    let now = next.now;
    if let Some(unit) = next.units.get_mut(consumer.index()) {
        unit.slots &= !bit(slot);
        unit.failures = 0;
        unit.stage = Stage::Proving(slot);
        unit.since = now;
    }
}

/// Nothing was done to this slot: a rollback has nothing to restart there.
pub(crate) fn refused(next: &mut State, consumer: ConsumerId, slot: u8) {
    if let Some(unit) = next.units.get_mut(consumer.index()) {
        unit.moved &= !(unit.first & bit(slot));
        unit.first &= !bit(slot);
    }
}

/// Something may have been done to this slot.
pub(crate) fn touched(next: &mut State, op: &Op) {
    if let Op::Apply(consumer, slot, _) = op
        && let Some(unit) = next.units.get_mut(consumer.index())
    {
        unit.first &= !bit(*slot);
    }
}

/// The unit that an operation is an attempt of.
fn owner(state: &State, op: &Op) -> Option<ConsumerId> {
    match op {
        Op::Deliver(file, which) => {
            let found = state.units.iter().enumerate().position(|(at, unit)| {
                let reads = state.plan.consumers.get(at).is_some_and(|it| it.files.contains(file));
                reads && unit.stage == Stage::Delivering && unit.toward == *which
            });
            found.and_then(id)
        }
        Op::Fetch(consumer) | Op::Apply(consumer, ..) => Some(*consumer),
        Op::Choose
        | Op::Mint
        | Op::Stage
        | Op::Promote
        | Op::Demote
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteNew
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => None,
    }
}

/// Counts a failed attempt of a unit's own operation. Returns whether a unit owns it.
pub(crate) fn attempt_failed(next: &mut State, op: &Op, retry: bool) -> bool {
    let Some(owner) = owner(next, op) else { return false };
    let Some(unit) = next.units.get_mut(owner.index()) else { return false };
    unit.failures = unit.failures.saturating_add(1);
    if !retry || unit.failures >= ATTEMPTS_MAX {
        fail(next, owner.index());
    }
    true
}

/// Counts an attempt of a unit's own operation whose outcome is unknown: it is reconciled first.
pub(crate) fn attempt_unclear(next: &mut State, op: &Op) {
    let owner = owner(next, op).filter(|owner| attempts(next, *owner, op));
    if let Some(unit) = owner.and_then(|owner| next.units.get_mut(owner.index())) {
        unit.failures = unit.failures.saturating_add(1);
    }
}

/// An attempt is known to have come to nothing. One that ends unclear every time is not repeated for ever.
pub(crate) fn attempt_absent(next: &mut State, op: &Op) {
    let owner = owner(next, op).filter(|owner| attempts(next, *owner, op));
    let Some(owner) = owner else { return };
    if next.units.get(owner.index()).is_some_and(|unit| unit.failures >= ATTEMPTS_MAX) {
        fail(next, owner.index());
    }
}

/// Whether a unit is at the stage that an operation belongs to.
fn attempts(state: &State, owner: ConsumerId, op: &Op) -> bool {
    let Some(unit) = state.units.get(owner.index()) else { return false };
    if let Op::Apply(_, slot, which) = op {
        return unit.stage == Stage::Applying(*slot) && unit.toward == *which;
    }
    matches!(op, Op::Fetch(_) | Op::Deliver(..)) && unit.stage == Stage::Delivering
}

/// A unit did not load the version. During a rollback that is Stuck, once every other unit that can be restored is;
/// on the way forward the policy says.
pub(crate) fn fail(next: &mut State, at: usize) {
    let Some(consumer) = id(at) else { return };
    let reason = Reason::Unit(consumer);
    let toward = next.units.get(at).map_or(Which::New, |unit| unit.toward);
    let push = next.plan.consumers.get(at).is_some_and(pushes);
    let moved = next.units.get(at).map_or(0, |unit| unit.moved);
    if let Some(unit) = next.units.get_mut(at) {
        unit.stage = Stage::Failed;
    }
    if toward == Which::Old {
        if next.phase() != Phase::RollingBack {
            next.stand(Hold::Stuck(reason));
        }
    } else if next.plan.policy.on_failure == OnFailure::Pause && push && !next.forward_only() {
        // The failed host alone is rolled back; the hold follows once it is restored (see `settle_retreat`).
        send(next, at, Which::Old, moved);
    } else {
        phases_fail(next, reason);
    }
}

/// Moves every unit on whose stage is complete. Returns whether anything moved.
pub(crate) fn advance(next: &mut State) -> bool {
    let mut moved = false;
    for at in 0..next.units.len() {
        moved |= advance_one(next, at);
    }
    moved
}

fn advance_one(next: &mut State, at: usize) -> bool {
    let (Some(unit), Some(consumer)) = (next.units.get(at), next.plan.consumers.get(at)) else {
        return false;
    };
    let (stage, now) = (unit.stage, next.now);
    let to = match stage {
        Stage::Waiting | Stage::Settled | Stage::Failed => return false,
        Stage::Delivering => {
            let written = consumer.files.iter().all(|file| next.file(*file) == Holds::of(unit.toward));
            let told = consumer.delivery != Delivery::Fetch || unit.fetched;
            if !(written && told) && consumer.delivery != Delivery::Follow {
                return give_up_late(next, at);
            }
            after_delivery(consumer.uptake, unit.slots)
        }
        Stage::Applying(_) => return give_up_late(next, at),
        Stage::Proving(slot) => {
            if !slot_shown(next, at, slot) {
                return give_up_late(next, at);
            }
            let more = if consumer.uptake == Uptake::Verb { next_slot(unit.slots) } else { None };
            more.map_or(Stage::Settled, Stage::Applying)
        }
    };
    if let Some(unit) = next.units.get_mut(at) {
        unit.stage = to;
        unit.since = now;
    }
    true
}

fn after_delivery(uptake: Uptake, slots: u32) -> Stage {
    match uptake {
        Uptake::Verb => next_slot(slots).map_or(Stage::Settled, Stage::Applying),
        Uptake::Rereads | Uptake::AtRest => Stage::Proving(0),
    }
}

fn next_slot(slots: u32) -> Option<u8> {
    if slots == 0 { None } else { u8::try_from(slots.trailing_zeros()).ok() }
}

/// A stage that outlasts its limit has failed, unless an outcome is still open.
fn give_up_late(next: &mut State, at: usize) -> bool {
    let Some(unit) = next.units.get(at) else { return false };
    let late = next.now.at_least(next.plan.policy.unit_ms_max, unit.since);
    let retreat = unit.toward == Which::Old && matches!(next.hold(), Some(Hold::Paused(Reason::Unit(_))));
    let open = next.intents.iter().any(|intent| intent.status == IntentStatus::Running);
    if late && !open && (next.hold().is_none() || retreat) {
        fail(next, at);
        return true;
    }
    false
}

/// Every instance that runs in this slot has shown the version, and there is at least one.
fn slot_shown(state: &State, at: usize, slot: u8) -> bool {
    let (Some(unit), Some(consumer), Some(owner)) =
        (state.units.get(at), state.plan.consumers.get(at), id(at))
    else {
        return false;
    };
    let waived = state.is_waived(&crate::Waived::NotVisible(owner));
    let all = consumer.uptake != Uptake::Verb;
    let mut some = false;
    for (of, proof) in state.seen.proofs() {
        if *of != owner || !(all || proof.slot == slot) {
            continue;
        }
        some = true;
        let shown = proof.version == unit.toward && shows(&state.plan, consumer, proof).is_ok();
        if !shown && !waived {
            return false;
        }
    }
    some || waived
}

/// What a unit that is on its way would have done next.
pub(crate) fn wants(state: &State, at: usize, out: &mut Vec<Want>) {
    let (Some(unit), Some(consumer), Some(owner)) =
        (state.units.get(at), state.plan.consumers.get(at), id(at))
    else {
        return;
    };
    match unit.stage {
        Stage::Waiting | Stage::Settled | Stage::Failed => {}
        Stage::Delivering => match consumer.delivery {
            Delivery::Push => {
                let goal = Holds::of(unit.toward);
                let open = consumer.files.iter().find(|file| state.file(**file) != goal);
                if let Some(file) = open {
                    offer(state, Op::Deliver(*file, unit.toward), out);
                }
            }
            Delivery::Fetch if !unit.fetched => offer(state, Op::Fetch(owner), out),
            Delivery::Fetch | Delivery::Follow => {}
        },
        Stage::Applying(slot) => offer(state, Op::Apply(owner, slot, unit.toward), out),
        Stage::Proving(slot) => {
            let slot = (consumer.uptake == Uptake::Verb).then_some(slot);
            out.push(Want::Ask(Query::Prove(owner, slot, unit.toward)));
        }
    }
}

/// Offers an operation unless it is being carried out already, or another one writes the same file.
pub(crate) fn offer(state: &State, op: Op, out: &mut Vec<Want>) {
    let clash = |intent: &crate::Intent| match (&intent.op, &op) {
        (Op::Deliver(one, _), Op::Deliver(other, _)) => one == other,
        (one, other) => one == other,
    };
    let running = state.intents.iter().any(|intent| intent.status == IntentStatus::Running && clash(intent));
    let want = Want::Do(op);
    if !running && !out.contains(&want) {
        out.push(want);
    }
}

/// A unit that was rolled back alone is restored: now the operator decides.
pub(crate) fn settle_retreat(next: &mut State) -> bool {
    if next.phase() != Phase::Roll || next.hold().is_some() {
        return false;
    }
    let back = |unit: &crate::Unit| unit.toward == Which::Old && unit.stage == Stage::Settled;
    let Some(at) = next.units.iter().position(back) else { return false };
    if let Some(owner) = id(at) {
        next.stand(Hold::Paused(Reason::Unit(owner)));
    }
    true
}
