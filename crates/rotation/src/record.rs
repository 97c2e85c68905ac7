//! What each observation and each person's word changes, before the phases are asked what follows.

use std::sync::Arc;

use crate::state::{
    Hold, Idle, Intent, IntentStatus, Look, NewVersion, OldKey, Phase, Reason, Stage, State, Unit, all_slots,
};
use crate::{
    Adoptee, Answer, Consumer, ConsumerId, CredId, Emergency, EndpointId, Enumeration, HostId, Labelled, Op,
    Overlap, Person, PreflightSeen, Proof, Standing, Streak, Waived, Want, Which, gate, intent, unit, wants,
};

pub(crate) fn preflight(next: &mut State, seen: PreflightSeen) {
    if next.phase != Phase::Preflight {
        return;
    }
    let alive = accepted(next, seen.current);
    let dead = seen.current == Answer::Dead;
    let expected = if next.plan.recovery { dead } else { alive };
    let refused = !seen.clear || accepted(next, seen.control) || (dead && !next.plan.recovery);
    let proven = expected && seen.control == Answer::Dead;
    if refused {
        next.preflight = Some(false);
    } else if proven {
        next.preflight = Some(true);
    }
}

pub(crate) fn stage_checked(next: &mut State, intact: bool, carried: bool) {
    if next.phase != Phase::Stage {
        return;
    }
    next.checked = intact && carried;
    if !next.checked {
        let phase = next.phase;
        intent::phases_fail(next, Reason::Failed(phase));
    }
}

/// Whether an answer shows that a credential is accepted.
pub(crate) fn accepted(state: &State, answer: Answer) -> bool {
    match answer {
        Answer::Alive => true,
        Answer::Denied => state.plan.denied_is_alive,
        Answer::Dead | Answer::Unknown => false,
    }
}

pub(crate) fn probed(
    next: &mut State,
    endpoint: EndpointId,
    version: Which,
    answer: Answer,
    control: Option<Answer>,
) -> Result<(), &'static str> {
    if endpoint.index() >= next.plan.endpoints.len() {
        return Err("no endpoint of this number is in the plan");
    }
    let alive = accepted(next, answer);
    let now = next.now;
    // A probe of ours moves the issuer's last-used time: what was seen idle until now begins anew.
    if version == Which::Old && alive {
        next.idle = None;
    }
    if let Some(streak) = next.alive.get_mut(endpoint.index()) {
        count(streak, alive, now);
    }
    // Without an accepted control beside it a refusal may be an outage: it neither counts nor resets.
    let control_alive = control.is_none_or(|control| accepted(next, control));
    let dead = answer == Answer::Dead;
    if let Some(streak) = next.dead.get_mut(endpoint.index())
        && (alive || (dead && control_alive))
    {
        count(streak, dead, now);
    }
    Ok(())
}

fn count(streak: &mut Streak, hit: bool, now: crate::Stamp) {
    if !hit {
        *streak = Streak::default();
        return;
    }
    streak.count = streak.count.saturating_add(1);
    streak.since = streak.since.or(Some(now));
}

pub(crate) fn listed(next: &mut State, complete: bool, labelled: &[Labelled], old: Standing) {
    for found in labelled {
        let known = next.new.as_ref().is_some_and(|new| new.credential == found.credential)
            || next.abandoned.contains(&found.credential)
            || next.intents.iter().any(|open| open.seq == found.intent);
        if known {
            continue;
        }
        if next.closed_mints.contains(&found.intent) {
            // A label whose intent was closed re-opens that intent: it appeared late.
            let status = IntentStatus::Orphan(found.credential.clone());
            next.intents.push(Intent { seq: found.intent, op: Op::Mint, status });
        } else if found.intent > next.seq || !was_mint(next, found.intent) {
            next.stand(Hold::Stuck(Reason::UnknownLabel(found.intent)));
        }
    }
    if complete {
        next.listed = Some((next.now, next.seq));
        match (old, next.old) {
            (Standing::Gone, _) if !next.ended() => next.old = OldKey::Ended,
            // A list may lag behind the switch as long as the switch takes to be obeyed.
            (Standing::On, OldKey::Off(since))
                if next.now.at_least(next.plan.capabilities.death_ms_max, since) =>
            {
                next.old = OldKey::On;
            }
            _ => {}
        }
    }
}

/// Whether the label's intent is one that this journal made: the version's own mint.
fn was_mint(state: &State, seq: crate::Seq) -> bool {
    state.new.as_ref().is_some_and(|new| new.mint == seq)
}

pub(crate) fn enumerated(next: &mut State, seen: &Enumeration) {
    for &(file, holds) in &seen.files {
        let writing = next.intents.iter().any(|open| matches!(open.op, Op::Deliver(one, _) if one == file));
        let moved = next.file(file) != holds;
        if let Some(known) = next.files.get_mut(file.index())
            && !writing
        {
            *known = holds;
        }
        if moved && !writing {
            // Somebody else wrote it: what was seen of those who re-read it was about another content.
            unit::void_rereaders(next, file);
        }
    }
    next.proofs.retain(|(_, proof)| !seen.complete || seen.instances.iter().any(|it| it.who == proof.who));
    next.look = Some(Look { at: next.now, seq: next.seq, seen: Arc::new(seen.clone()) });
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
    // What ran in these slots before and does not any more says nothing.
    next.proofs.retain(|(of, known)| {
        let listed = |proof: &Proof| proof.slot == known.slot;
        *of != consumer || !proofs.iter().any(listed) || proofs.iter().any(|proof| proof.who == known.who)
    });
    for proof in proofs {
        let known = next.proofs.iter_mut().find(|(_, known)| known.who == proof.who);
        match known {
            Some((_, known)) if known.version == proof.version => merge(known, proof),
            Some((_, known)) => *known = *proof,
            None => next.proofs.push((consumer, *proof)),
        }
    }
    let proving =
        next.units.get(consumer.index()).is_some_and(|unit| matches!(unit.stage, Stage::Proving(_)));
    // A key that is ended refuses whoever still presents it, up to the moment at which they are moved: then the log
    // tells nothing about the new one, and only the proofs count.
    let refused_anyway = next.old == OldKey::Ended || next.decided.is_some();
    if trouble && proving && !refused_anyway {
        unit::fail(next, consumer.index());
    }
    Ok(())
}

fn merge(known: &mut Proof, proof: &Proof) {
    for (kinds, more) in known.paths.iter_mut().zip(proof.paths) {
        *kinds = kinds.and(more);
    }
    known.other_session = proof.other_session;
}

pub(crate) fn last_used(next: &mut State, used: Option<u64>) {
    let last = next.now;
    let since = next.idle.filter(|idle| idle.used == used).map_or(last, |idle| idle.since);
    next.idle = Some(Idle { since, last, used });
}

pub(crate) fn refusals(next: &mut State, count: u32) {
    next.refusals_read = Some(next.now);
    let watching =
        matches!(next.phase, Phase::Disable | Phase::Soak | Phase::Decide) && next.decided.is_none();
    if count > 0 && watching {
        next.stand(Hold::Paused(Reason::RefusedUse));
    }
}

pub(crate) fn consented(next: &mut State, before: &State, digest: u64) -> Result<(), &'static str> {
    let asked = wants(before).into_iter().any(|want| want == Want::Person(Person::Consent(digest)));
    if !asked {
        return Err("this consent is for something else than what would be done");
    }
    next.consent = Some((digest, next.seq));
    Ok(())
}

pub(crate) fn decided(next: &mut State, before: &State, digest: u64) -> Result<(), &'static str> {
    if !wants(before).contains(&Want::Decide(digest)) {
        return Err("the point of no return may not be passed now");
    }
    next.decided = Some((digest, next.now));
    Ok(())
}

pub(crate) fn adopted(
    next: &mut State,
    consumer: &Consumer,
    files: &[HostId],
    explains: Adoptee,
) -> Result<(), &'static str> {
    if next.ended() || next.phase == Phase::RollingBack {
        return Err("nothing is being moved forward");
    }
    let plan = Arc::make_mut(&mut next.plan);
    plan.files.extend_from_slice(files);
    plan.check_consumer(consumer).map_err(|_| "the adopted consumer is not sound")?;
    plan.consumers.push(consumer.clone());
    next.files.extend(files.iter().map(|_| crate::Holds::Old));
    let mut unit = Unit::waiting(next.now);
    unit.slots = all_slots(consumer);
    next.units.push(unit);
    next.consent = None;
    next.look = None;
    let solved = match (next.hold, explains) {
        (Some(Hold::Paused(Reason::Holder(held))), Adoptee::Holder(who)) => held == who,
        (Some(Hold::Paused(Reason::Stranger(held))), Adoptee::Copy(place)) => held == place,
        _ => false,
    };
    if solved {
        next.hold = None;
    }
    // Where minting itself ends the old value, Decide comes before there is anything to roll.
    let nothing_yet = next.new_version().is_none();
    if !nothing_yet && !matches!(next.phase, Phase::Mint | Phase::Stage | Phase::Probe) {
        next.enter(Phase::Roll);
    }
    Ok(())
}

pub(crate) fn waived(next: &mut State, what: Waived) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    if !next.waived.contains(&what) {
        next.waived.push(what);
    }
    let solved = match (next.hold, what) {
        (Some(Hold::Paused(Reason::Holder(who))), Waived::Holder(waived)) => who == waived,
        (Some(Hold::Paused(Reason::Stranger(place))), Waived::Copy(waived)) => place == waived,
        _ => false,
    };
    if solved {
        next.hold = None;
    }
    Ok(())
}

pub(crate) fn pause_asked(next: &mut State) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    if next.hold.is_none() {
        next.stand(Hold::Paused(Reason::Asked));
    }
    Ok(())
}

pub(crate) fn resumed(next: &mut State) -> Result<(), &'static str> {
    if next.phase == Phase::Done && next.debt.is_some() {
        return reopen_debt(next);
    }
    match next.hold {
        None => return Err("it does not stand still"),
        Some(Hold::Stuck(_)) => return Err("it is stuck: retry, once the cause is removed"),
        Some(Hold::Paused(_)) => next.hold = None,
    }
    go_on(next);
    Ok(())
}

pub(crate) fn retried(next: &mut State) -> Result<(), &'static str> {
    match next.hold {
        None => return Err("it does not stand still"),
        Some(Hold::Stuck(Reason::Unclear(seq))) => {
            intent::dismiss(next, seq);
            next.hold = None;
        }
        Some(Hold::Paused(_) | Hold::Stuck(_)) => next.hold = None,
    }
    go_on(next);
    Ok(())
}

/// A debt is retried: the old key is ended again and watched again.
fn reopen_debt(next: &mut State) -> Result<(), &'static str> {
    let to = if next.old == OldKey::Ended { Phase::ConfirmDead } else { Phase::Revoke };
    next.debt = None;
    next.residues = None;
    next.enter(to);
    Ok(())
}

fn go_on(next: &mut State) {
    next.failures = 0;
    next.rerolls = 0;
    next.phase_since = next.now;
    let forward = next.phase != Phase::RollingBack;
    retake_units(next, forward);
    if matches!(next.phase, Phase::Quiesce | Phase::RollingBack) {
        retake_unproven(next, if forward { Which::New } else { Which::Old });
    }
    if next.phase == Phase::Decide && next.new_version().is_none() && next.decided.is_none() {
        // Where minting itself ends the old value there is nothing to quiesce yet.
        next.consent = None;
        next.enter(Phase::Decide);
    } else if matches!(next.phase, Phase::Disable | Phase::Soak | Phase::Decide) && next.decided.is_none() {
        next.consent = None;
        next.enter(Phase::Quiesce);
    }
}

/// What had not shown its version when a person was asked is moved once more.
fn retake_unproven(next: &mut State, stays: Which) {
    let Some(look) = next.phase_look(next.entered) else { return };
    let blocked = gate::blockers(next, look, stays);
    let mut again = false;
    for blocker in blocked {
        let gate::Blocker::Unproven(consumer, who, _) = blocker else { continue };
        let slot = next
            .look
            .as_ref()
            .and_then(|look| look.seen.instances.iter().find(|it| it.who == who))
            .map_or(0, |seen| seen.slot);
        let bit = 1u32.checked_shl(u32::from(slot)).unwrap_or(0);
        let waiting = next.units.get(consumer.index()).filter(|unit| unit.stage == Stage::Waiting);
        let bits = waiting.map_or(0, |unit| unit.slots) | bit;
        unit::send(next, consumer.index(), stays, bits);
        again = true;
    }
    if again && next.phase == Phase::Quiesce {
        next.enter(Phase::Roll);
    }
}

/// Units that failed, or that went back alone, set out again.
fn retake_units(next: &mut State, forward: bool) {
    let now = next.now;
    let mut unread = Vec::new();
    for (at, unit) in next.units.iter_mut().enumerate() {
        unit.since = now;
        unit.failures = 0;
        let wrong_way = forward && unit.toward == Which::Old;
        if unit.stage == Stage::Failed || wrong_way {
            unread.extend(next.plan.consumers.get(at).into_iter().flat_map(|it| it.files.iter().copied()));
            let toward = if forward { Which::New } else { Which::Old };
            unit.send(toward, if forward { 0 } else { unit.moved }, now);
        }
    }
    // What its files hold by now is not known any more.
    for file in unread {
        if let Some(holds) = next.files.get_mut(file.index()) {
            *holds = crate::Holds::Unreadable;
        }
    }
}

pub(crate) fn abort_asked(next: &mut State) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    if next.decided.is_some() {
        return Err("the point of no return lies behind: the way is forward only");
    }
    if next.emergency.is_some() {
        return Err("the old value is compromised: it is never gone back to");
    }
    if next.old == OldKey::Ended {
        return Err("the old key is not alive: there is nothing to go back to");
    }
    if intent::no_way_back(next) {
        return Err("the old value ended when the new one was made");
    }
    let held = next.hold.take().is_some();
    if next.phase != Phase::RollingBack {
        next.consent = None;
        next.enter(Phase::RollingBack);
    } else if held {
        go_on(next);
    }
    Ok(())
}

pub(crate) fn escalated(
    next: &mut State,
    mode: Emergency,
    pending_compromised: bool,
) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended: open another");
    }
    let dropping = next.retired || next.intents.iter().any(|open| open.op == Op::Retire(Which::Old));
    if next.phase == Phase::Sweep && dropping {
        return Err("the old value is gone already: open another rotation");
    }
    if next.decided.is_some() && mode == Emergency::RevokeNow {
        return Err("the old key is being ended already");
    }
    // Once the old key is being ended now, that stays so.
    if next.emergency != Some(Emergency::RevokeNow) || next.decided.is_none() {
        next.emergency = Some(mode);
    }
    let held = next.hold.take().is_some();
    next.consent = None;
    let backwards = next.phase == Phase::RollingBack;
    retake_units(next, true);
    let begun = next.new.is_some()
        || next.chosen.is_some()
        || next.intents.iter().any(|open| matches!(open.op, Op::Mint | Op::Choose));
    if pending_compromised && begun {
        abandon(next);
        if next.phase != Phase::Preflight {
            next.enter(Phase::Mint);
        }
    } else if backwards {
        turn_round(next);
    } else if held && next.decided.is_none() && next.new_version().is_some() {
        // A pause switched the old key on again: like every resuming, this goes to Quiesce.
        if matches!(next.phase, Phase::Disable | Phase::Soak | Phase::Decide) {
            next.enter(Phase::Quiesce);
        }
    }
    let may_revoke = !matches!(next.plan.capabilities.overlap, Overlap::None | Overlap::Grace { .. });
    if mode == Emergency::RevokeNow && may_revoke && next.old != OldKey::Ended {
        next.decided = Some((0, next.now));
        next.enter(Phase::Revoke);
    }
    Ok(())
}

/// The new version is given up; another one is made, and everything is moved to that.
fn abandon(next: &mut State) {
    if let Some(new) = next.new.take()
        && !next.new_deleted
    {
        next.abandoned.push(new.credential);
    }
    let now = next.now;
    next.abandoned_at = next.seq;
    next.chosen = None;
    (next.staged, next.checked, next.new_deleted, next.deleting) = (false, false, false, false);
    next.promoted = false;
    next.proofs.clear();
    next.units.iter_mut().for_each(|unit| unit.send(Which::New, 0, now));
    next.files.fill(crate::Holds::Old);
}

/// From the way back to the way forward. A new credential whose deletion was begun is not relied on.
pub(crate) fn turn_round(next: &mut State) {
    if next.deleting {
        abandon(next);
    }
    let now = next.now;
    next.units.iter_mut().for_each(|unit| unit.send(Which::New, 0, now));
    let to = first_unfinished(next);
    next.enter(to);
}

/// Where the way forward begins again, by what is already there.
pub(crate) fn first_unfinished(state: &State) -> Phase {
    if state.preflight != Some(true) && state.emergency.is_none() {
        Phase::Preflight
    } else if state.new_version().is_none() {
        Phase::Mint
    } else if !state.checked {
        Phase::Stage
    } else {
        Phase::Probe
    }
}

pub(crate) fn hand_minted(next: &mut State, credential: &CredId) -> Result<(), &'static str> {
    if next.phase != Phase::Mint || next.new_version().is_some() {
        return Err("no new credential is waited for");
    }
    next.new = Some(NewVersion { mint: next.seq, credential: credential.clone() });
    (next.staged, next.checked, next.new_deleted, next.retired) = (false, false, false, false);
    next.abandoned.retain(|held| held != credential);
    if crate::phases::exchanges(next) {
        next.old = OldKey::Ended;
    }
    Ok(())
}

/// A person's word is not proof: what follows is seeing it dead.
pub(crate) fn hand_revoked(next: &mut State) -> Result<(), &'static str> {
    // Where its switch failed for good, a person may have found it gone.
    let failed = matches!(
        next.hold,
        Some(
            Hold::Stuck(Reason::Failed(_) | Reason::Overdue(_))
                | Hold::Paused(Reason::Failed(_) | Reason::Overdue(_))
        )
    );
    if next.phase != Phase::Revoke && !failed {
        return Err("the old key is not to be ended yet");
    }
    if failed {
        next.hold = None;
        next.failures = 0;
    }
    next.old = OldKey::Ended;
    Ok(())
}
