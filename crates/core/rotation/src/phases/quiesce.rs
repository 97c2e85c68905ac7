use std::collections::BTreeSet;

use super::last_use;
use crate::deadlines;
use crate::gate::{Blocker, blockers};
use crate::state::{Hold, OldKey, Phase, Reason, State, UnitStep, bit};
use crate::{
    ConsumerId, FileId, Holds, Incarnation, ObservedInstance, Op, Query, Visibility, Waived, Want, Which,
    course, unit,
};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if state.must_enable() {
        unit::offer(state, Op::Enable, out);
        return;
    }
    let look = state.fresh_look(state.position.entered());
    let blocked = look.map(|look| blockers(state, look, Which::New));
    prove(blocked.iter().flatten(), Which::New, out);
    if blocked.is_none_or(|blocked| !blocked.is_empty()) {
        out.push(Want::Ask(Query::Enumerate));
        return;
    }
    if last_use::open_window(state).is_some() {
        out.push(Want::Ask(Query::LastUsed));
    }
    if leaves_abandoned(state) {
        for credential in state.abandoned() {
            unit::offer(state, Op::DeleteAbandoned(credential.clone()), out);
        }
    }
}

/// Asks each consumer with an unproven instance once for evidence.
pub(super) fn prove<'a>(blocked: impl Iterator<Item = &'a Blocker>, which: Which, out: &mut Vec<Want>) {
    let unproven = blocked.filter_map(|blocker| {
        if let Blocker::Unproven(consumer, ..) = blocker { Some(*consumer) } else { None }
    });
    prove_each(unproven, which, out);
}

/// Asks each of these consumers once for evidence.
pub(super) fn prove_each(consumers: impl IntoIterator<Item = ConsumerId>, which: Which, out: &mut Vec<Want>) {
    let mut asked = BTreeSet::new();
    for consumer in consumers {
        if asked.insert(consumer) {
            out.push(Want::Ask(Query::Prove(consumer, None, which)));
        }
    }
}

/// Where the old key is kept, this is the last phase: nothing uses the abandoned versions any more, and they are deleted
/// here. Journals of protocol 3 and before left them.
fn leaves_abandoned(state: &State) -> bool {
    !state.aim().ends_old() && !state.abandoned().is_empty() && state.bounds_looks()
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.must_enable() {
        return false;
    }
    let Some(look) = next.fresh_look(next.position.entered()) else { return late(next) };
    let blocked = blockers(next, look, Which::New);
    if blocked.is_empty() {
        let waits = last_use::open_window(next).is_some();
        if waits && last_use::asked_again_until_ms(next).is_some() {
            return false;
        }
        if last_use::stands_unshown(next) {
            return true;
        }
        if waits || leaves_abandoned(next) {
            return late(next);
        }
        let to = after(next);
        next.enter(to);
        return true;
    }
    react(next, &blocked) || late(next)
}

/// The phase after Quiesce, by what must still happen to the old key.
fn after(state: &State) -> Phase {
    if !state.aim().ends_old() {
        // Others use the old key: it is neither disabled nor ended, and its value is not dropped.
        Phase::Done
    } else if state.old_key() == OldKey::Ended {
        course::after_end(state)
    } else if state.decided() {
        Phase::Revoke
    } else if state.plan().capabilities.disable && state.emergency().is_none() {
        Phase::Disable
    } else {
        Phase::Decide
    }
}

/// What a blocker leads to: a pause, Stuck, or another pass through Roll for units that returned to the old value.
fn react(next: &mut State, blocked: &[Blocker]) -> bool {
    for blocker in blocked {
        let hold = match blocker {
            Blocker::Holder(who) => Hold::Paused(Reason::Holder(*who)),
            Blocker::Stranger(place) => Hold::Paused(Reason::Stranger(*place)),
            Blocker::File(file, Holds::Other) => Hold::Stuck(Reason::Foreign(*file)),
            Blocker::File(file, Holds::Unreadable) => Hold::Paused(Reason::Unreadable(*file)),
            Blocker::Unsearched(who, limit) if deadlines::unsearched_for_long(next, *limit) => {
                Hold::Paused(Reason::Unsearched(*who))
            }
            Blocker::File(..)
            | Blocker::Unproven(..)
            | Blocker::Stale(..)
            | Blocker::Session(_)
            | Blocker::Absent(_)
            | Blocker::Unsearched(..) => continue,
        };
        next.stand(hold);
        return true;
    }
    fallen_back(next, blocked, false)
}

/// Copies that drifted, instances that run on the old value and those that are back with neither re-enter Roll; with
/// `unproven_too`, also other unproven instances.
pub(super) fn fallen_back(next: &mut State, blocked: &[Blocker], unproven_too: bool) -> bool {
    if !next.aim().makes_new() {
        return behind(next, blocked, unproven_too);
    }
    let returned = returned(next);
    let mut again = false;
    for blocker in blocked {
        match blocker {
            Blocker::File(file, Holds::Old) => again |= drifted(next, *file),
            Blocker::Stale(consumer, _, slot) => {
                let bits = bit(*slot);
                again |= reroll(next, consumer.index(), bits);
            }
            Blocker::Unproven(consumer, who, _) if unproven_too || returned.contains(who) => {
                let bits = bit(next.looks.slot_of(*who));
                again |= reroll(next, consumer.index(), bits);
            }
            Blocker::File(..)
            | Blocker::Holder(_)
            | Blocker::Stranger(_)
            | Blocker::Unproven(..)
            | Blocker::Session(_)
            | Blocker::Absent(_)
            | Blocker::Unsearched(..) => {}
        }
    }
    if again {
        let too_often = next.attempts.reroll();
        next.return_to(Phase::Roll);
        if too_often {
            next.stand(Hold::Paused(Reason::Drifting));
        }
    }
    again
}

/// Instances of consumers that settled while they had gone or their host had left, and that the look shows without the new
/// value. One that has no old value either keeps a value that leaked and was abandoned: nothing else would move it. None before
/// protocol 18.
fn returned(state: &State) -> BTreeSet<Incarnation> {
    let is_unseen = |id: ConsumerId| state.units.is_unseen(id.index());
    let is_back = |it: &&ObservedInstance| it.new == Visibility::No && it.consumer.is_some_and(is_unseen);
    let seen = state.look().into_iter().flat_map(|look| &look.seen.instances);
    seen.filter(is_back).map(|it| it.who).collect()
}

/// Where the key is ended without a new one, no consumer can be moved: the rotation pauses at a consumer that uses the
/// key again.
fn behind(next: &mut State, blocked: &[Blocker], unproven_too: bool) -> bool {
    let consumer = blocked.iter().find_map(|blocker| match blocker {
        Blocker::Stale(consumer, ..) => Some(*consumer),
        Blocker::Unproven(consumer, ..) if unproven_too => Some(*consumer),
        Blocker::File(file, Holds::Old) => reader(next, *file),
        Blocker::File(..)
        | Blocker::Unproven(..)
        | Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::Session(_)
        | Blocker::Absent(_)
        | Blocker::Unsearched(..) => None,
    });
    let Some(consumer) = consumer else { return false };
    next.stand(Hold::Paused(Reason::Unit(consumer)));
    true
}

fn reader(state: &State, file: FileId) -> Option<ConsumerId> {
    let at = *state.units.index().readers(file).first()?;
    u16::try_from(at).ok().map(ConsumerId)
}

/// Another party wrote the old value back: the file's readers re-enter Roll at Deliver.
fn drifted(next: &mut State, file: FileId) -> bool {
    let mut again = false;
    for at in next.units.index().readers(file).to_vec() {
        again |= reroll(next, at, 0);
    }
    again
}

fn reroll(next: &mut State, at: usize, slots: u32) -> bool {
    let Some(unit) = next.units.get(at) else { return false };
    let slots = if unit.stage == UnitStep::Waiting { unit.slots | slots } else { slots };
    next.units.send(at, Which::New, slots, next.now());
    true
}

fn late(next: &mut State) -> bool {
    if !deadlines::late(next) {
        return false;
    }
    let unshown = next.is_waived(&Waived::BusySessions);
    if unshown {
        next.restart_window();
    }
    next.stand(Hold::Paused(Reason::Overdue(Phase::Quiesce)));
    true
}
