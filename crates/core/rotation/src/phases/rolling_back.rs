use super::last_use;
use crate::course::not_yet;
use crate::deadlines;
use crate::gate::{Blocker, blockers};
use crate::state::{Hold, OldKey, Phase, Reason, State, bit};
use crate::turn::{self, is_away};
use crate::{Delivery, FileId, Holds, MintedBy, Op, Query, Visibility, Want, Which, course, unit, unmoved};

/// How long the old key may go unseen while the rollback waits until the new one is unused, milliseconds.
const SEEN_MS_MAX: u64 = 60_000;

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // Until a Disable has ended, nothing relies on the old key: however often it was accepted, it may be off a moment later.
    if state.running(&Op::Disable) {
        return;
    }
    if state.must_enable() {
        unit::offer(state, Op::Enable, out);
        return;
    }
    if state.new_version().is_none() {
        finish(state, out);
        return;
    }
    let unsure = not_yet(state, state.answers.alive(), state.plan().policy.probes_alive);
    if !unsure.is_empty() {
        if state.plan().capabilities.list && (!listed(state) || state.old.is_missing()) {
            out.push(Want::Ask(Query::List));
        }
        out.extend(unsure.into_iter().map(|endpoint| Want::Ask(Query::Probe(endpoint, Which::Old))));
        return;
    }
    if state.new.may_be_promoted() {
        unit::offer(state, Op::Demote, out);
        return;
    }
    if state.partial_look(state.position.entered()).is_none() {
        out.push(Want::Ask(Query::Enumerate));
        return;
    }
    match turn::first(state) {
        Some((_, op)) => unit::offer(state, op, out),
        None => state.units.moving().for_each(|at| unit::wants(state, at, out)),
    }
    let moving = state.units.is_any_moving();
    if out.is_empty() && !moving && state.phase_look(state.position.entered()).is_none() {
        // Whatever could be restored on the hosts that answer is: the others are looked for again.
        out.push(Want::Ask(Query::Enumerate));
        return;
    }
    if !out.is_empty() || !restored(state) {
        return;
    }
    if waits_for_use(state) {
        out.push(Want::Ask(Query::LastUsed));
        return;
    }
    let Some(look) = state.young_look(state.position.entered()) else {
        out.push(Want::Ask(Query::Enumerate));
        return;
    };
    let blocked = blockers(state, look, Which::Old);
    if blocked.is_empty() {
        unit::offer(state, Op::DeleteNew, out);
        return;
    }
    super::quiesce::prove(blocked.iter(), Which::Old, out);
    out.push(Want::Ask(Query::Enumerate));
}

/// When nothing uses the new version, or none was made: drops what is sealed, and reads the last lists.
fn finish(state: &State, out: &mut Vec<Want>) {
    let sealed = state.new.is_staged() || state.chosen().is_some() || state.minted().is_some();
    if sealed && !state.new.is_retired() {
        // A value that a running operation seals would be dropped while it is sealed.
        if state.intents().iter().all(|open| open.op == Op::Retire(Which::New)) {
            unit::offer(state, Op::Retire(Which::New), out);
        }
    } else if is_doubted(state)
        || (state.plan().capabilities.list && !listed(state) && state.minting.may_be_left())
    {
        out.push(Want::Ask(Query::List));
    }
}

/// Only an operator says that the old key ended, which was disabled, and a list can say it too.
fn is_doubted(state: &State) -> bool {
    state.plan().capabilities.list && state.old.is_only_said()
}

fn listed(state: &State) -> bool {
    state.old.listed_since(state.position.entered())
}

fn restored(state: &State) -> bool {
    state.units.have_all_settled(Which::Old)
}

/// Everything that keyroll sees is back on the old key, and only the issuer can say whether something else has taken the new one.
fn waits_for_use(state: &State) -> bool {
    let look = state.fresh_look(state.position.entered()).filter(|_| restored(state));
    look.is_some_and(|look| blockers(state, look, Which::Old).is_empty())
        && last_use::open_window(state).is_some()
        && !state.has_waited_for_new()
}

/// The window may be long, and everybody is back on the old key: one that ends meanwhile is seen to, and the rotation turns round.
fn is_old_unseen(state: &State) -> bool {
    let unseen = |last| state.now().at_least(SEEN_MS_MAX, last);
    state.answers.alive().iter().any(|streak| streak.last.is_some_and(unseen))
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.running(&Op::Disable) || next.must_enable() {
        return false;
    }
    if next.new_version().is_none() {
        let mut left = Vec::new();
        finish(next, &mut left);
        let human = next.plan().capabilities.minted_by == MintedBy::Human;
        if left.contains(&Want::Ask(Query::List)) && deadlines::given_up(next) {
            next.stand(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
            return true;
        }
        if (left.is_empty() && next.intents().is_empty())
            || (human && next.minted().is_none() && next.intents().is_empty() && !is_doubted(next))
        {
            next.enter(Phase::RolledBack);
            return true;
        }
        return false;
    }
    if old_is_dead(next) {
        // The old key is dead: roll forward, as a recovery.
        if next.old_key() != OldKey::Ended {
            next.end_old(false);
        }
        course::turn_round(next);
        return true;
    }
    if !course::sees_old(next) || next.new.may_be_promoted() {
        return late(next);
    }
    if start_units(next) || react(next) {
        return true;
    }
    if waits_for_use(next) {
        if !deadlines::late(next) && is_old_unseen(next) {
            next.answers.ask_alive(next.seq().saturating_add(1));
            return true;
        }
        let again = last_use::asked_again_until_ms(next).is_some();
        if again && next.uses.asked_again().is_none() {
            next.uses.ask_again(Some(next.now()));
            return true;
        }
        // The end of the phase is no end of that.
        return !again && (last_use::stands_unshown(next) || late(next));
    }
    ask_again(next) || unrestarted_late(next) || late(next)
}

/// Restoring takes time, in which the old key may have ended. When every consumer is back on the old key, the key is
/// seen alive once more before the new one is deleted.
fn ask_again(next: &mut State) -> bool {
    if !restored(next) || next.running(&Op::DeleteNew) {
        return false;
    }
    let Some(look) = next.fresh_look(next.position.entered()) else { return false };
    if next.answers.alive_asked() > look.seq || !blockers(next, look, Which::Old).is_empty() {
        return false;
    }
    next.answers.ask_alive(next.seq().saturating_add(1));
    true
}

fn old_is_dead(state: &State) -> bool {
    let need = state.plan().policy.probes_dead;
    state.old_key() == OldKey::Ended || state.answers.dead().iter().any(|streak| streak.count >= need)
}

/// Turns units towards the old version, and lets the last one that moved begin; one at a time, in reverse. Those on a host
/// that did not answer wait for it, and hold up no other.
fn start_units(next: &mut State) -> bool {
    let Some(look) = next.partial_look(next.position.entered()) else { return false };
    let (seen, whole) = (look.seen.clone(), look.whole);
    let moves = |at: usize| next.units.get(at).is_some_and(|unit| unit.stage.is_moving());
    let forward = next.units.bound(Which::New).find(|at| !is_away(next, *at) || moves(*at));
    if let Some(at) = forward.filter(|at| is_away(next, *at)) {
        // Nothing more is done toward the new version there. What was done is seen once the host is there.
        let moved = next.units.get(at).map_or(0, |unit| unit.moved);
        next.units.send(at, Which::Old, moved, next.now());
        return true;
    }
    if let Some(at) = forward {
        let consumer = next.plan().consumers.get(at).cloned();
        let loaded = seen.instances.iter().filter(|it| {
            it.consumer.is_some_and(|id| id.index() == at)
                && (it.new == Visibility::Yes || it.old != Visibility::Yes)
        });
        let mut slots = loaded.fold(0, |bits, it| bits | bit(it.slot));
        slots |= next.units.get(at).map_or(0, |unit| unit.moved);
        let files =
            consumer.as_ref().is_some_and(|it| it.files.iter().any(|file| must_be_restored(next, *file)));
        let touched = next.units.get(at).is_some_and(|unit| unit.moved != 0) || files;
        if !touched {
            slots = 0;
        }
        next.units.send(at, Which::Old, slots, next.now());
        // A unit that was never moved has nothing to restore.
        if !touched {
            next.units.settle(at);
        }
        return true;
    }
    if next.units.is_any_moving() {
        return false;
    }
    let waiting = next.units.waiting(Which::Old).filter(|at| !is_away(next, *at)).last();
    if let Some(at) = waiting {
        unit::start(next, at);
        return true;
    }
    whole && stuck(next)
}

/// A file in which the new version never was, or that was accepted as it stands, is not restored, whatever it holds.
fn must_be_restored(state: &State, file: FileId) -> bool {
    if state.accepts_file(file) {
        return false;
    }
    match state.files.get(file) {
        Holds::Old => false,
        Holds::New => true,
        Holds::Other | Holds::Unreadable => !unmoved::never_had_new(state, file),
    }
}

/// Every unit that could be restored is restored: the rotation is stuck at one that could not.
fn stuck(next: &mut State) -> bool {
    let Some(at) = next.units.failed().last() else { return false };
    let files = next.plan().consumers.get(at).map(|consumer| consumer.files.clone()).unwrap_or_default();
    let is_foreign = |file: &FileId| next.files.get(*file) == Holds::Other && !next.accepts_file(*file);
    let foreign = files.into_iter().find(is_foreign);
    let unit = unit::id(at).map(Reason::Unit);
    let Some(reason) = foreign.map(Reason::Foreign).or(unit) else { return false };
    next.stand(Hold::Stuck(reason));
    true
}

/// What a blocker leads to after everything was restored: a process, copy or file still holds the new version.
fn react(next: &mut State) -> bool {
    if !restored(next) || next.running(&Op::DeleteNew) {
        return false;
    }
    let Some(look) = next.fresh_look(next.position.entered()) else { return false };
    for blocker in blockers(next, look, Which::Old) {
        match blocker {
            Blocker::Holder(who) => {
                next.stand(Hold::Paused(Reason::Holder(who)));
                return true;
            }
            Blocker::Stranger(place) => {
                next.stand(Hold::Paused(Reason::Stranger(place)));
                return true;
            }
            Blocker::File(file, Holds::Other) => {
                next.stand(Hold::Stuck(Reason::Foreign(file)));
                return true;
            }
            Blocker::File(file, Holds::New) => {
                // What a consumer fetches into it is the old version by now.
                let follows = |at: &usize| {
                    next.plan().consumers.get(*at).is_some_and(|it| it.delivery == Delivery::Follow)
                };
                // Nothing would come of one that has gone and has given the file up, and the same look would say so for ever.
                let restores = |at: &usize| !follows(at) && !next.unit_has_gone(*at);
                let readers = next.units.index().readers(file).iter();
                if let Some(at) = readers.copied().find(restores) {
                    let moved = next.units.get(at).map_or(0, |unit| unit.moved);
                    next.units.send(at, Which::Old, moved, next.now());
                    return true;
                }
            }
            Blocker::Stale(consumer, _, slot) => {
                let bits = bit(slot);
                // It is seen to use the new key: it must be restarted after all.
                next.units.excuse(consumer.index(), false);
                next.units.send(consumer.index(), Which::Old, bits, next.now());
                // No operation follows that would outdate this look: it would send the unit again for ever.
                let waived = next.is_waived(&crate::Waived::NotVisible(consumer));
                if waived || next.consumer(consumer).is_some_and(crate::Consumer::follows_live) {
                    next.looks.moved(next.seq());
                }
                next.use_new_again();
                return true;
            }
            Blocker::Unsearched(who, limit) if deadlines::unsearched_for_long(next, limit) => {
                next.stand(Hold::Paused(Reason::Unsearched(who)));
                return true;
            }
            Blocker::File(..)
            | Blocker::Unproven(..)
            | Blocker::Session(_)
            | Blocker::Absent(_)
            | Blocker::Unsearched(..) => {}
        }
    }
    false
}

/// The time is over while a restart is tried again and again: the rotation is stuck at that unit, by its name. In a rotation of
/// protocol 14 and before it was stuck at the deadline.
fn unrestarted_late(next: &mut State) -> bool {
    if !next.is_since(15) || !deadlines::late(next) {
        return false;
    }
    let failed = |at: &usize| next.units.get(*at).is_some_and(|unit| unit.unrestarted && unit.failures > 0);
    let Some(consumer) = next.units.moving().find(failed).and_then(unit::id) else { return false };
    next.stand(Hold::Stuck(Reason::Unit(consumer)));
    true
}

fn late(next: &mut State) -> bool {
    if !deadlines::late(next) {
        return false;
    }
    next.stand(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
    true
}
