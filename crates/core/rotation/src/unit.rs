//! A unit: one consumer on its host, moved slot by slot to a version, in either direction.

use crate::course::{self, phases_fail};
use crate::gate::shows;
use crate::state::{ATTEMPTS_MAX, Hold, IntentStatus, Phase, Reason, State, UnitStep, next_slot};
use crate::{
    Consumer, ConsumerId, Delivery, OnFailure, Op, Query, ReloadMode, Want, Which, delivered, pace,
    unrestarted,
};

/// The consumer of the unit with this number.
pub(crate) fn id(at: usize) -> Option<ConsumerId> {
    u16::try_from(at).ok().map(ConsumerId)
}

/// Lets a waiting unit begin.
pub(crate) fn start(next: &mut State, at: usize) {
    let Some(all) = next.plan().consumers.get(at).map(Consumer::all_slots) else { return };
    next.units.start(at, all, next.now());
}

/// An operation of a unit was journaled: evidence about its slot is void from here on.
pub(crate) fn begun(next: &mut State, op: &Op) {
    match op {
        Op::Apply(consumer, slot, which) => {
            if *which == Which::New {
                next.units.begin_slot(consumer.index(), *slot);
            }
            next.proofs.void(*consumer, Some(*slot));
        }
        Op::Deliver(file, which) => {
            if *which == Which::New {
                next.files.begin_new(*file);
            }
            for consumer in rereaders(next, *file) {
                next.proofs.void(consumer, None);
                if *which == Which::New {
                    begin_all(next, consumer);
                }
            }
        }
        Op::Fetch(consumer) => {
            if next.consumer(*consumer).is_some_and(|it| it.uptake != ReloadMode::Verb) {
                next.proofs.void(*consumer, None);
            }
        }
        Op::Promote | Op::Demote => {
            for consumer in followers(next) {
                next.proofs.void(consumer, None);
                // Its rollback begins with a Demote, also if this fails: from that on the host sees what it reads.
                if *op == Op::Promote {
                    let all = next.consumer(consumer).map_or(0, Consumer::all_slots);
                    next.units.begin_slots_with_promote(consumer.index(), all);
                    next.new.begin_promotion();
                } else {
                    begin_all(next, consumer);
                }
                await_anew(next, consumer);
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

/// The consumers that read the store themselves.
fn followers(state: &State) -> Vec<ConsumerId> {
    let consumers = state.plan().consumers.iter().enumerate();
    consumers.filter(|(_, it)| it.delivery == Delivery::Follow).filter_map(|(at, _)| id(at)).collect()
}

/// A Promote has ended and may have been carried out: whatever reads the store may have the new version.
fn given_out(next: &mut State) {
    next.new.end_promotion();
    for consumer in followers(next) {
        next.units.touch_all(consumer.index());
    }
}

/// A Promote met another party's value before it changed anything. If no earlier one may have been carried out, nothing
/// that reads the store has the new version.
pub(crate) fn not_given_out(next: &mut State) {
    if !next.new.undo_promotion() {
        given_out(next);
        return;
    }
    for consumer in followers(next) {
        next.units.refuse_all(consumer.index());
    }
}

/// Every slot of a consumer loads its new value by itself.
fn begin_all(next: &mut State, consumer: ConsumerId) {
    let all = next.consumer(consumer).map_or(0, Consumer::all_slots);
    next.units.begin_slots(consumer.index(), all);
}

/// What is given out changes once more, so that a program which reads it again may have read something else meanwhile: it is
/// awaited anew, for as long as before.
fn await_anew(next: &mut State, consumer: ConsumerId) {
    let live = next.consumer(consumer).is_some_and(Consumer::follows_live);
    let Some(unit) = next.units.get(consumer.index()).filter(|_| live) else { return };
    if unit.stage == UnitStep::Settled || unit.stage.is_moving() {
        let (toward, slots) = (unit.toward, unit.moved);
        next.units.send(consumer.index(), toward, slots, next.now());
    }
}

/// Voids the evidence about consumers that re-read this file or start from it.
pub(crate) fn void_rereaders(next: &mut State, file: crate::FileId) {
    for consumer in rereaders(next, file) {
        next.proofs.void(consumer, None);
    }
}

fn rereaders(state: &State, file: crate::FileId) -> Vec<ConsumerId> {
    let rereads = |at: &usize| {
        let consumer = state.plan().consumers.get(*at);
        consumer.is_some_and(|it| it.uptake != ReloadMode::Verb)
    };
    let readers = state.units.index().readers(file).iter().copied();
    readers.filter(rereads).filter_map(id).collect()
}

pub(crate) fn fetched(next: &mut State, consumer: ConsumerId) {
    next.units.fetch(consumer.index());
    let toward = next.units.get(consumer.index()).map_or(Which::New, |unit| unit.toward);
    let files = next.consumer(consumer).map(|it| it.files.clone()).unwrap_or_default();
    for file in files {
        next.files.deliver(file, toward);
    }
}

/// An operation may have changed a slot, a file, or what the store gives out.
pub(crate) fn touched(next: &mut State, op: &Op, failed: bool) {
    match op {
        Op::Apply(consumer, slot, _) => next.units.touch(consumer.index(), *slot),
        Op::Deliver(file, Which::New) if failed => next.files.fail_new(*file),
        Op::Deliver(file, Which::New) => next.files.end_new(*file),
        Op::Promote => given_out(next),
        Op::Deliver(_, Which::Old)
        | Op::Fetch(_)
        | Op::Choose
        | Op::Mint
        | Op::Stage
        | Op::Demote
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

/// The unit that an operation belongs to.
fn owner(state: &State, op: &Op) -> Option<ConsumerId> {
    let is_it = |at: &usize| {
        let Op::Deliver(file, which) = op else { return true };
        if state.accepts_file(*file) {
            return false;
        }
        let delivers = |unit: &crate::Unit| unit.stage == UnitStep::Delivering && unit.toward == *which;
        state.units.get(*at).is_some_and(delivers)
    };
    owners(state, op).into_iter().find(is_it).and_then(id)
}

/// The units to which an operation on a host may belong, in their order.
pub(crate) fn owners(state: &State, op: &Op) -> Vec<usize> {
    match op {
        Op::Deliver(file, _) => state.units.index().readers(*file).to_vec(),
        Op::Fetch(consumer) | Op::Apply(consumer, ..) => vec![consumer.index()],
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
        | Op::Retire(_) => Vec::new(),
    }
}

/// Counts a failed attempt of an operation. Returns whether the operation belongs to a unit.
pub(crate) fn attempt_failed(next: &mut State, op: &Op, retry: bool) -> bool {
    let Some(owner) = owner(next, op) else { return false };
    count_failure(next, owner, op);
    let Some(unit) = next.units.get(owner.index()) else { return false };
    if !retry || unit.failures >= ATTEMPTS_MAX {
        give_up(next, owner.index(), op);
    }
    true
}

/// Counts an attempt of a unit's operation whose outcome is unknown. The intent is reconciled before the next attempt.
pub(crate) fn attempt_unclear(next: &mut State, op: &Op) {
    let owner = owner(next, op).filter(|owner| attempts(next, *owner, op));
    if let Some(owner) = owner {
        count_failure(next, owner, op);
    }
}

fn count_failure(next: &mut State, owner: ConsumerId, op: &Op) {
    next.units.count_failure(owner.index());
    if matches!(op, Op::Apply(..)) {
        next.units.fail_restart(owner.index());
    }
}

/// An attempt is known to have had no effect. An operation whose outcome is unknown every time is not repeated for
/// ever.
pub(crate) fn attempt_absent(next: &mut State, op: &Op) {
    let owner = owner(next, op).filter(|owner| attempts(next, *owner, op));
    let Some(owner) = owner else { return };
    if next.units.get(owner.index()).is_some_and(|unit| unit.failures >= ATTEMPTS_MAX) {
        give_up(next, owner.index(), op);
    }
}

/// An operation of a unit is not tried any more.
fn give_up(next: &mut State, at: usize, op: &Op) {
    if let Op::Deliver(file, Which::Old) = op
        && next.unit_has_gone(at)
    {
        // The file stays as it is, and the others are restored.
        next.files.give_up(*file);
        next.units.try_next(at, next.now());
    } else if unrestarted::may_be_asked(next, at) {
        next.units.exhaust(at, next.now());
    } else {
        fail(next, at);
    }
}

/// Whether a unit is at the stage that an operation belongs to.
pub(crate) fn attempts(state: &State, owner: ConsumerId, op: &Op) -> bool {
    let Some(unit) = state.units.get(owner.index()) else { return false };
    if let Op::Apply(_, slot, which) = op {
        return unit.stage == UnitStep::Applying(*slot) && unit.toward == *which;
    }
    matches!(op, Op::Fetch(_) | Op::Deliver(..)) && unit.stage == UnitStep::Delivering
}

/// A unit did not load the version. During a rollback the rotation is then Stuck, once every other unit that can be
/// restored is, unless the unit has gone; on the way forward the policy decides.
pub(crate) fn fail(next: &mut State, at: usize) {
    let Some(consumer) = id(at) else { return };
    let reason = Reason::Unit(consumer);
    let toward = next.units.get(at).map_or(Which::New, |unit| unit.toward);
    let push = next.plan().consumers.get(at).is_some_and(Consumer::is_pushed);
    let moved = next.units.get(at).map_or(0, |unit| unit.moved);
    if toward == Which::Old && next.unit_has_gone(at) {
        next.units.settle(at);
        return;
    }
    next.units.fail(at);
    if toward == Which::Old {
        if next.phase() != Phase::RollingBack {
            next.stand(Hold::Stuck(reason));
        }
    } else if next.plan().policy.on_failure == OnFailure::Pause && push && !next.forward_only() {
        // Only the failed host is rolled back; the hold follows once it is restored (see `settle_retreat`).
        next.units.send(at, Which::Old, moved, next.now());
    } else {
        phases_fail(next, reason);
    }
}

/// Moves each unit whose stage is complete to its next stage. Returns whether a unit moved.
pub(crate) fn advance(next: &mut State) -> bool {
    let mut moved = false;
    for at in next.units.moving().collect::<Vec<_>>() {
        moved |= advance_one(next, at);
    }
    moved
}

/// Moves a unit whose stage is complete to its next stage. Returns whether it moved.
pub(crate) fn advance_one(next: &mut State, at: usize) -> bool {
    let (Some(unit), Some(consumer)) = (next.units.get(at), next.plan().consumers.get(at)) else {
        return false;
    };
    let (toward, gone) = (unit.toward, next.unit_has_gone(at) || unit.excused);
    let to = match unit.stage {
        UnitStep::Waiting | UnitStep::Settled | UnitStep::Failed => return false,
        UnitStep::Delivering if !delivered::is_delivered(next, at) => return give_up_late(next, at),
        // Nothing there is made to load the version, and nothing is proven.
        UnitStep::Delivering | UnitStep::Applying(_) | UnitStep::Proving(_) if gone => UnitStep::Settled,
        UnitStep::Delivering => after_delivery(consumer.uptake, unit.slots),
        UnitStep::Applying(slot) if unrestarted::asked(next, at).is_some() && slot_shown(next, at, slot) => {
            next.units.apply(at, slot, next.now());
            return true;
        }
        UnitStep::Applying(_) => return give_up_late(next, at),
        UnitStep::Proving(slot) => match after_proof(next, at, slot) {
            Ok(to) => to,
            Err(changed) => return changed,
        },
    };
    if to == UnitStep::Settled {
        if toward == Which::New && !gone {
            next.units.pacing.arrived(next.now());
        }
        next.units.settle(at);
    } else {
        next.units.enter(at, to, next.now());
    }
    true
}

/// The stage after the proof of a slot; while it stays at this one, whether anything changed.
fn after_proof(next: &mut State, at: usize, slot: u8) -> Result<UnitStep, bool> {
    let watched = next.units.get(at).is_some_and(|unit| unit.watched);
    if watched
        && pace::is_out_of_sight(next, at)
        && let Some(owner) = id(at)
    {
        let looked = looked_at(next, at);
        next.proofs.void(owner, looked);
        next.units.watch(at, false, next.now());
        return Err(true);
    }
    let more = pace::next_of(next, at);
    if !slot_shown(next, at, slot) {
        if watched {
            next.units.watch(at, false, next.now());
            return Err(true);
        }
        return Err(give_up_late(next, at));
    }
    if pace::stays(next, at, more.is_some()) {
        if !watched {
            next.units.watch(at, true, next.now());
        }
        return Err(!watched);
    }
    Ok(more.map_or(UnitStep::Settled, UnitStep::Applying))
}

fn after_delivery(uptake: ReloadMode, slots: u32) -> UnitStep {
    match uptake {
        ReloadMode::Verb => next_slot(slots).map_or(UnitStep::Settled, UnitStep::Applying),
        ReloadMode::Rereads | ReloadMode::AtRest => UnitStep::Proving(0),
    }
}

/// A stage that outlasts its limit has failed, unless an outcome is still unknown.
fn give_up_late(next: &mut State, at: usize) -> bool {
    let Some(unit) = next.units.get(at) else { return false };
    if !next.now().at_least(next.plan().policy.unit_ms_max, unit.since) {
        return false;
    }
    let retreat = unit.toward == Which::Old && matches!(next.hold(), Some(Hold::Paused(Reason::Unit(_))));
    let running = next.intents().iter().any(|intent| intent.status == IntentStatus::Running);
    let in_doubt = next.plan().policy.roll.is_some() && course::in_question(next).is_some();
    let open = running || in_doubt;
    if !open && (next.hold().is_none() || retreat) {
        if unrestarted::is_unasked(next, at) {
            next.units.exhaust(at, next.now());
        } else {
            fail(next, at);
        }
        return true;
    }
    false
}

/// There is evidence for the version from every instance that runs in this slot, and at least one runs. Of a program that
/// reads the store again by itself and was waived, only the time shows that it has: the whole limit of a unit.
pub(crate) fn slot_shown(state: &State, at: usize, slot: u8) -> bool {
    let (Some(unit), Some(consumer), Some(owner)) =
        (state.units.get(at), state.plan().consumers.get(at), id(at))
    else {
        return false;
    };
    let waived = state.is_waived(&crate::Waived::NotVisible(owner))
        && (!consumer.follows_live()
            || unit.watched
            || state.now().at_least(state.plan().policy.unit_ms_max, unit.since));
    let slots = consumer.uptake == ReloadMode::Verb;
    let all = !slots || pace::is_whole(state, at);
    let mut some = false;
    for proof in state.proofs.of_consumer(owner) {
        if !all && proof.slot != slot {
            continue;
        }
        some |= !slots || proof.slot == slot;
        let shown = proof.version == unit.toward && shows(state, consumer, proof).is_ok();
        if !shown && !waived {
            return false;
        }
    }
    some || waived
}

/// In which slot a unit is proven; `None` = in all of them.
pub(crate) fn looked_at(state: &State, at: usize) -> Option<u8> {
    let (unit, consumer) = (state.units.get(at)?, state.plan().consumers.get(at)?);
    let UnitStep::Proving(slot) = unit.stage else { return None };
    let one = consumer.uptake == ReloadMode::Verb && !pace::is_whole(state, at);
    one.then_some(slot)
}

/// Whether the slot that a unit is proven in shows the version.
pub(crate) fn is_shown(state: &State, at: usize) -> bool {
    match state.units.get(at).map(|unit| unit.stage) {
        Some(UnitStep::Proving(slot)) => slot_shown(state, at, slot),
        Some(
            UnitStep::Waiting
            | UnitStep::Delivering
            | UnitStep::Applying(_)
            | UnitStep::Settled
            | UnitStep::Failed,
        )
        | None => false,
    }
}

/// What a unit on its way would do next.
pub(crate) fn wants(state: &State, at: usize, out: &mut Vec<Want>) {
    let (Some(unit), Some(consumer), Some(owner)) =
        (state.units.get(at), state.plan().consumers.get(at), id(at))
    else {
        return;
    };
    match unit.stage {
        UnitStep::Waiting | UnitStep::Settled | UnitStep::Failed => {}
        UnitStep::Delivering => match consumer.delivery {
            Delivery::Push => {
                if let Some(file) =
                    consumer.files.iter().find(|file| !delivered::is_written(state, at, **file))
                {
                    offer(state, Op::Deliver(*file, unit.toward), out);
                }
            }
            Delivery::Fetch if !unit.fetched => offer(state, Op::Fetch(owner), out),
            Delivery::Fetch | Delivery::Follow => {}
        },
        UnitStep::Applying(slot) if unrestarted::asked(state, at).is_some() => {
            out.push(Want::Ask(Query::Prove(owner, Some(slot), unit.toward)));
        }
        UnitStep::Applying(slot) => offer(state, Op::Apply(owner, slot, unit.toward), out),
        UnitStep::Proving(_) => {
            out.push(Want::Ask(Query::Prove(owner, looked_at(state, at), unit.toward)));
            pace::watch(state, at, out);
        }
    }
}

/// Offers an operation, unless it is already running or another one writes the same file.
pub(crate) fn offer(state: &State, op: Op, out: &mut Vec<Want>) {
    let clash = |intent: &crate::Intent| match (&intent.op, &op) {
        (Op::Deliver(one, _), Op::Deliver(other, _)) => one == other,
        (one, other) => one == other,
    };
    let running =
        state.intents().iter().any(|intent| intent.status == IntentStatus::Running && clash(intent));
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
    let Some(at) = next.units.settled(Which::Old).next() else { return false };
    if let Some(owner) = id(at) {
        next.stand(Hold::Paused(Reason::Unit(owner)));
    }
    true
}
