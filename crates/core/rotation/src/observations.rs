//! What each observation changes, before the phases decide what follows.

use crate::state::{Hold, List, OldKey, Phase, Reason, State, UnitStep};
use crate::{
    ConsumerId, EndpointId, Enumeration, Labelled, LastUse, ListedState, Op, PreflightSeen, ProbeResult,
    Proof, Seq, TruthValue, Which, bystander, course, leave, phases, unit, unrestarted,
};

pub(crate) fn preflight(next: &mut State, seen: PreflightSeen) {
    if next.phase() != Phase::Preflight {
        return;
    }
    let alive = accepted(next, seen.current);
    let dead = seen.current == ProbeResult::Dead;
    let expected = if next.plan().recovery { dead } else { alive };
    let refused = !seen.clear || accepted(next, seen.control) || (dead && !next.plan().recovery);
    let proven = expected && seen.control == ProbeResult::Dead;
    if refused {
        next.answers.judge_preflight(false);
    } else if proven {
        next.answers.judge_preflight(true);
    }
}

pub(crate) fn stage_checked(next: &mut State, intact: bool, carried: bool) {
    if next.phase() != Phase::Stage {
        return;
    }
    next.new.check(intact && carried);
    if !next.new.is_checked() {
        let phase = next.phase();
        course::phases_fail(next, Reason::Failed(phase));
    }
}

/// Whether an answer shows that a credential is accepted.
pub(crate) fn accepted(state: &State, answer: ProbeResult) -> bool {
    match answer {
        ProbeResult::Alive => true,
        ProbeResult::Denied => state.plan().denied_is_alive,
        ProbeResult::Dead | ProbeResult::Unknown => false,
    }
}

pub(crate) fn probed(
    next: &mut State,
    endpoint: EndpointId,
    version: Which,
    answer: ProbeResult,
    control: Option<ProbeResult>,
) -> Result<(), &'static str> {
    if endpoint.index() >= next.plan().endpoints.len() {
        return Err("no endpoint of this number is in the plan");
    }
    let alive = accepted(next, answer);
    let now = next.now();
    // An answer counts only for the version that was presented, however late it comes.
    if version == Which::New {
        // An endpoint that does not answer would keep a leaked key alive.
        let ending = course::must_stand(next);
        let passes = answer == ProbeResult::Unknown && next.emergency().is_some() && ending;
        next.answers.count_new(endpoint, alive || passes, now);
        if answer == ProbeResult::Dead && (ending || phases::doubts_new(next)) {
            next.decisions.drop_consent();
            next.stand(Hold::Paused(Reason::NewKeyRefused));
        }
        return Ok(());
    }
    if alive {
        let lag_ms = next.plan().capabilities.list_ms_max();
        let exists = next.old.accept(lag_ms, next.now());
        // Journals of protocol 3 and before went on as if the key had ended.
        if exists && next.bounds_looks() && !next.ended() {
            found_again(next, ListedState::On);
        }
        // The last answers came together: this one was under way when the key was taken for dead.
        let owes = next.debt().is_some() || course::old_dropped(next);
        if next.phase() == Phase::Sweep && next.bounds_looks() && !owes {
            next.enter(Phase::ConfirmDead);
        }
        // A probe of ours moves the issuer's last-used time. In a rollback that of the new key is read.
        if !next.heeds_new_use() {
            next.uses.forget_idle();
        }
    }
    // A refusal without an accepted control beside it may be an outage: it neither counts nor resets the count.
    let control_alive = control.map_or(next.aim().makes_new(), |control| accepted(next, control));
    let dead = answer == ProbeResult::Dead;
    let counts = alive || (dead && control_alive);
    next.answers.count_old(endpoint, alive, counts.then_some(dead), now);
    Ok(())
}

pub(crate) fn listed(next: &mut State, complete: bool, labelled: &[Labelled], old: ListedState) {
    if complete {
        next.old.forget_strangers();
    }
    let mut lacks_new = false;
    for found in labelled {
        let known = next.new.version().is_some_and(|new| new.credential == found.credential)
            || next.abandoned().contains(&found.credential)
            || next.intents().iter().any(|open| open.seq == found.intent);
        if known {
            continue;
        }
        if next.is_since(18) && found.stands_for_new(labelled, next) {
            lacks_new = true;
        } else if next.closed_mints().contains(&found.intent) {
            // A label whose intent was closed re-opens the intent: its credential appeared late.
            next.intents.reopen_mint(found.intent, &found.credential);
        } else if found.intent == Seq::MAX && next.phase() == Phase::RollingBack && next.is_since(13) {
            // A rollback ends no key but its own: it is done before the operator looks after another one.
            next.old.meet_stranger();
        } else if found.intent > next.seq() || !was_mint(next, found.intent) {
            next.stand(Hold::Stuck(Reason::UnknownLabel(found.intent)));
        }
    }
    if complete {
        next.old.read_list(List { at: next.now(), seq: next.seq(), old });
        // Lists alone may miss a key for long. Where the mint ends it, no step follows in which a probe would find it again.
        let asks_first = next.exchanges() && next.new_version().is_none() && next.is_since(18);
        let lag_ms = if asks_first { u64::MAX } else { next.plan().capabilities.list_ms_max() };
        let off = matches!(next.old_key(), OldKey::Off(_)) || next.old.is_only_said();
        if !next.ended() && next.old.listed(old, lag_ms, next.now()) {
            found_again(next, old);
        }
        // Another party enabled the key, or the issuer is slower than it declares and still disables it. Journals of
        // protocol 3 and before took it for enabled.
        if off && next.old_key() == OldKey::On && next.bounds_looks() {
            next.switching.doubt_disable();
            // Soak pauses by itself. In Decide the operator would be asked about a soak that did not last.
            if course::watching(next) && next.emergency().is_none() {
                next.stand(Hold::Paused(Reason::RefusedUse));
            }
        }
        if lacks_new {
            new_unlisted(next);
        }
    }
}

/// A complete list shows a credential with the new version's value, and not the new version's own. What is in use cannot be ended
/// by the id that keyroll knows, and what it does not know must not be ended. A rollback leaves it until nobody uses it.
fn new_unlisted(next: &mut State) {
    if next.phase() == Phase::RollingBack || course::old_dropped(next) {
        return;
    }
    next.decisions.drop_consent();
    next.stand(Hold::Paused(Reason::NewKeyRefused));
    // Whoever goes on asks again.
    next.old.forget_list();
}

/// The source of truth does not give out what it should. In a rollback the new version is taken back, whoever gave it out:
/// nobody fetches a key that is about to be deleted. Another value is read there only for a consumer that follows it.
pub(crate) fn truth_read(next: &mut State, gives: TruthValue) {
    let back = next.phase() == Phase::RollingBack;
    match gives {
        TruthValue::New if back => next.new.doubt_promotion(),
        TruthValue::Other if back => next.stand(Hold::Stuck(Reason::ChangedElsewhere)),
        TruthValue::Old | TruthValue::Other if !back && next.gives_out_new() => {
            next.stand(Hold::Stuck(Reason::ChangedElsewhere));
        }
        TruthValue::Old | TruthValue::New | TruthValue::Other => {}
    }
}

/// The old key exists although another party seemed to have ended it: this rotation must still end it, behind the gate.
fn found_again(next: &mut State, old: ListedState) {
    if course::old_dropped(next) {
        return;
    }
    next.old.find_again(old == ListedState::Off, next.now());
    if matches!(next.phase(), Phase::Revoke | Phase::ConfirmDead | Phase::Sweep) {
        next.enter(if next.decided() { Phase::Revoke } else { Phase::Quiesce });
    }
}

/// Whether the label's intent is the mint of the present version.
fn was_mint(state: &State, seq: Seq) -> bool {
    state.minted() == Some(seq)
}

pub(crate) fn enumerated(next: &mut State, seen: &Enumeration) {
    let whole = leave::shows_all(next, seen);
    for &(file, holds) in &seen.files {
        let writing = next.intents().iter().any(|open| matches!(open.op, Op::Deliver(one, _) if one == file));
        if !writing && next.files.read(file, holds) {
            // Another party wrote the file: the evidence about its readers concerned another content.
            unit::void_rereaders(next, file);
        }
    }
    if whole {
        next.proofs.keep_running(seen);
    }
    let held = bystander::held(next, seen);
    next.looks.meet_bystanders(held);
    next.looks.take_in(seen, whole, next.seq(), next.now());
}

pub(crate) fn proved(
    next: &mut State,
    consumer: ConsumerId,
    proofs: &[Proof],
    trouble: bool,
) -> Result<(), &'static str> {
    if next.consumer(consumer).is_none() {
        return Err("no consumer of this number is in the plan");
    }
    if next.units.get(consumer.index()).is_some_and(|unit| unit.watched) {
        watched(next, consumer, proofs);
    } else {
        next.proofs.take_in(consumer, proofs);
        judge_unrestarted(next, consumer, proofs);
    }
    let proving =
        next.units.get(consumer.index()).is_some_and(|unit| matches!(unit.stage, UnitStep::Proving(_)));
    // The issuer refuses an ended key to every process that was not moved yet, and so one that was given up because it is
    // refused. The log then says nothing about the new key; only the proofs count.
    let refused_anyway = next.old_key() == OldKey::Ended || next.decided() || next.abandoned.was_refused();
    if trouble && proving && !refused_anyway {
        if matches!(next.hold(), Some(Hold::Paused(Reason::Canary(_)))) {
            // The look was under way when the operator was asked.
            next.holding.release();
        }
        unit::fail(next, consumer.index());
    }
    Ok(())
}

/// A unit that a rollback could not restart was asked what it works with: nothing shows that it is the old key.
fn judge_unrestarted(next: &mut State, consumer: ConsumerId, proofs: &[Proof]) {
    let Some(slot) = unrestarted::asked(next, consumer.index()) else { return };
    let about_it = proofs.is_empty() || proofs.iter().any(|proof| proof.slot == slot);
    let hopes = unit::slot_shown(next, consumer.index(), slot) || unrestarted::has_hope(next, consumer, slot);
    if about_it && !hopes {
        unit::fail(next, consumer.index());
    }
}

/// A look at a consumer that is watched: what it does not show is not known any more.
fn watched(next: &mut State, consumer: ConsumerId, proofs: &[Proof]) {
    let (at, now) = (consumer.index(), next.now());
    if next.proofs.renew(consumer, unit::looked_at(next, at), proofs) {
        // What is watched is another process now.
        next.units.watch(at, true, now);
    }
    if unit::is_shown(next, at) {
        next.units.show(at, now);
    }
}

pub(crate) fn last_used(next: &mut State, seen: LastUse) {
    // Each phase asks about the key that it ends: an answer that was asked for in another one may be about the other key.
    let asked_here = next.now().since(next.position.since()).is_some_and(|ms| seen.took_ms < ms);
    // Behind Quiesce a late answer is about the old key, and still ends the waiver.
    let may_be_other = matches!(next.phase(), Phase::Quiesce | Phase::RollingBack);
    if next.is_since(17) && may_be_other && !asked_here {
        return;
    }
    next.uses.read_last(seen.used, next.now().before(seen.took_ms), next.now());
    if next.is_since(16) && !next.decided() && next.exceptions.end_silence() {
        // One with the waiver, or from before it, counts no more.
        next.decisions.drop_consent();
    }
}

pub(crate) fn refusals(next: &mut State, count: u32, took_ms: u64) {
    next.uses.read_refusals(next.now().before(took_ms));
    if count > 0 && course::watching(next) {
        next.holding.read_refused_use();
        next.stand(Hold::Paused(Reason::RefusedUse));
    }
}
