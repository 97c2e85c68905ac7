//! What a person's word changes: consent, the point of no return, adoption, waivers, standing still, going back,
//! emergencies, steps by hand.

use std::sync::Arc;

use crate::state::{Hold, NewVersion, OldKey, Phase, Reason, Stage, State, Unit, all_slots};
use crate::{
    Adoptee, Aim, Consumer, CredId, Difference, Emergency, HostId, Op, Overlap, Person, Waived, Want, Which,
    gate, intent, phases, unit, wants,
};

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
    if next.ended() || next.phase == Phase::RollingBack || !next.aim().makes_new() {
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

/// By name, and bound to what was seen: another edit under the same name takes another word.
pub(crate) fn accepted(next: &mut State, difference: &Difference) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    next.accepted.retain(|known| known.name != difference.name);
    next.accepted.push(difference.clone());
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

/// Consent is waited for with the old key off, and nobody is there to give it: it goes on again while they are looked
/// for.
pub(crate) fn unanswered(next: &mut State, before: &State) -> Result<(), &'static str> {
    let asked = wants(before).into_iter().any(|want| matches!(want, Want::Person(Person::Consent(_))));
    if !asked {
        return Err("no consent is waited for");
    }
    if !before.must_enable() {
        return Err("the old key is on: it may be waited for");
    }
    next.stand(Hold::Paused(Reason::Consent));
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
    next.refused_use = false;
    go_on(next);
    Ok(())
}

pub(crate) fn retried(next: &mut State) -> Result<(), &'static str> {
    let stuck = matches!(next.hold, Some(Hold::Stuck(_)));
    match next.hold {
        None => return Err("it does not stand still"),
        Some(Hold::Stuck(Reason::Unclear(seq))) => {
            intent::dismiss(next, seq);
            next.hold = None;
        }
        Some(Hold::Paused(_) | Hold::Stuck(_)) => next.hold = None,
    }
    // That the cause is gone is a word: a label that nobody knew is looked for again.
    next.listed = None;
    go_on(next);
    if stuck && next.refused_use {
        // It was read while something stronger was in the way: whoever still needs the old key is told of now.
        next.stand(Hold::Paused(Reason::RefusedUse));
    }
    next.refused_use = false;
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
    next.refused.clear();
    next.enable_failed = false;
    next.failures = 0;
    next.rerolls = 0;
    next.phase_since = next.now;
    let forward = next.phase != Phase::RollingBack;
    retake_units(next, forward);
    if matches!(next.phase, Phase::Quiesce | Phase::RollingBack) && next.aim().makes_new() {
        retake_unproven(next, if forward { Which::New } else { Which::Old });
    }
    let exchanges = phases::exchanges(next);
    if exchanges && next.phase == Phase::Decide && next.new_version().is_none() && next.decided.is_none() {
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
        let bit = 1u32.checked_shl(u32::from(next.slot_of(who))).unwrap_or(0);
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
    next.refused_use = false;
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
    if next.aim() != Aim::Replace {
        return Err("an emergency of a shared key is a rotation of it: abort this one");
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
    if next.phase == Phase::Sweep {
        // What was ended before the key was seen dead may have come back.
        next.sessions_ended = None;
    }
    let held = next.hold.take().is_some();
    (next.consent, next.refused_use) = (None, false);
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
    // What was to be ended first is still ended first when the new value turns out to have leaked as well.
    if next.emergency == Some(Emergency::RevokeNow) && may_revoke && next.old != OldKey::Ended {
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
    next.given_up = next.chosen.take();
    (next.staged, next.checked, next.new_deleted, next.deleting) = (false, false, false, false);
    next.retired = false;
    (next.promoted, next.promote_in_doubt) = (false, false);
    next.proofs.clear();
    next.units.iter_mut().for_each(|unit| unit.send(Which::New, 0, now));
    next.files.fill(crate::Holds::Old);
}

/// From the way back to the way forward. A new credential whose deletion was begun is not relied on, nor a value that
/// was chosen and is being dropped.
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
    if next.phase != Phase::Mint || next.new_version().is_some() || phases::dropping(next) {
        return Err("no new credential is waited for");
    }
    next.new = Some(NewVersion { mint: next.seq, credential: credential.clone() });
    (next.staged, next.checked, next.new_deleted, next.retired) = (false, false, false, false);
    next.abandoned.retain(|held| held != credential);
    if phases::exchanges(next) {
        next.end_old(true);
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
    if !next.aim().ends_old() {
        return Err("the old key is kept: others use it");
    }
    if next.phase != Phase::Revoke && !failed {
        return Err("the old key is not to be ended yet");
    }
    if failed {
        next.hold = None;
        next.failures = 0;
        next.phase_since = next.now;
    }
    let ours = next.decided.is_some();
    next.end_old(ours);
    Ok(())
}
