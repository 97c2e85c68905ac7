//! The operator's events: consent, the point of no return, adoption, waivers, pause, resume, retry, abort, emergencies,
//! steps by hand.

use crate::state::{Debt, Hold, OldKey, Phase, Reason, State, UnitStep, bit};
use crate::{
    Adoptee, Aim, Consumer, ConsumerId, CredId, Difference, Emergency, HostId, Op, Person, Unsearched,
    Waived, Want, Which, accepted_file, course, gate, gone, intent, leave, unrestarted, wants::wants,
};

pub(crate) fn consented(next: &mut State, before: &State, digest: u64) -> Result<(), &'static str> {
    let asked = wants(before).into_iter().any(|want| want == Want::Person(Person::Consent(digest)));
    if !asked {
        return Err("this consent is for something else than what would be done");
    }
    let counted = next.look().map(|look| gate::unsearched(next, look)).unwrap_or_default();
    let counted = counted.into_iter().map(|(who, limit)| Unsearched { who, limit }).collect();
    next.decisions.give_consent(digest, next.seq(), next.now(), counted);
    Ok(())
}

pub(crate) fn decided(next: &mut State, before: &State, digest: u64) -> Result<(), &'static str> {
    if !wants(before).contains(&Want::Decide(digest)) {
        return Err("the point of no return may not be passed now");
    }
    if next.lacks_young_look() {
        return Err("the look that it would rest on is too old");
    }
    next.decisions.decide(next.now());
    Ok(())
}

pub(crate) fn adopted(
    next: &mut State,
    consumer: &Consumer,
    files: &[HostId],
    explains: Adoptee,
) -> Result<(), &'static str> {
    if next.ended() || next.phase() == Phase::RollingBack || !next.aim().makes_new() {
        return Err("nothing is being moved forward");
    }
    next.adopt(consumer, files).map_err(|_| "the adopted consumer is not sound")?;
    let solved = match (next.hold(), explains) {
        (Some(Hold::Paused(Reason::Holder(held))), Adoptee::Holder(who)) => held.may_be(who),
        (Some(Hold::Paused(Reason::Stranger(held))), Adoptee::Copy(place)) => held == place,
        _ => false,
    };
    if solved {
        next.holding.release();
    }
    // Where minting itself ends the old value, Decide comes before the roll: there are no units to move yet.
    let nothing_yet = next.new_version().is_none();
    if !nothing_yet && !matches!(next.phase(), Phase::Mint | Phase::Stage | Phase::Probe) {
        next.enter(Phase::Roll);
    }
    Ok(())
}

/// The commands of consumers were replaced, forward or back. What was seen before may rest on a command that was wrong: nothing is
/// decided on it, no evidence about these consumers counts any more, and the operator consents to what is seen from now on.
pub(crate) fn corrected(next: &mut State, consumers: &[ConsumerId]) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    let known = next.plan().consumers.len();
    if consumers.is_empty() || consumers.iter().any(|consumer| consumer.index() >= known) {
        return Err("the rotation has no such consumer");
    }
    if !next.running(&Op::Revoke) {
        next.looks.moved(next.seq());
        consumers.iter().for_each(|consumer| next.proofs.void(*consumer, None));
    }
    consumers.iter().for_each(|consumer| unrestarted::accuse(next, *consumer));
    next.decisions.drop_consent();
    Ok(())
}

pub(crate) fn waived(next: &mut State, what: Waived) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    let unshown = next.hold() == Some(Hold::Paused(Reason::LastUseNotShown));
    if what == Waived::LastUse && !unshown {
        return Err("the rotation is not paused for want of the last use: only then it can be waived");
    }
    match what {
        Waived::Host(host) => return leave::waived(next, host),
        Waived::Gone(consumer) => return gone::waived(next, consumer),
        Waived::File(file) => return accepted_file::waived(next, file),
        Waived::Holder(_)
        | Waived::Copy(_)
        | Waived::NotVisible(_)
        | Waived::BusySessions
        | Waived::LastUse => next.exceptions.waive(what),
    }
    if let Waived::NotVisible(consumer) = what {
        unrestarted::excuse(next, consumer);
    }
    if what == Waived::LastUse && next.is_since(16) {
        next.uses.ask_again(None);
        next.restart_window();
    }
    let solved = match (next.hold(), what) {
        (Some(Hold::Paused(Reason::Holder(who))), Waived::Holder(waived)) => who.may_be(waived),
        (Some(Hold::Paused(Reason::Stranger(place))), Waived::Copy(waived)) => place == waived,
        (Some(Hold::Paused(Reason::Unsearched(who))), Waived::Holder(waived)) => who.may_be(waived),
        (Some(Hold::Paused(Reason::Unsearched(who))), Waived::NotVisible(id)) => {
            next.look().and_then(|look| look.seen.consumer_of(who)) == Some(id)
        }
        (Some(Hold::Paused(Reason::LastUseNotShown)), Waived::LastUse) => true,
        _ => false,
    };
    if solved {
        next.holding.release();
    }
    Ok(())
}

/// Accepts a pending change by its name and its digest: another edit under the same name must be accepted again.
pub(crate) fn accepted(next: &mut State, difference: &Difference) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    next.exceptions.accept(difference);
    Ok(())
}

pub(crate) fn pause_asked(next: &mut State) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    if next.hold().is_none() {
        next.stand(Hold::Paused(Reason::Asked));
    }
    Ok(())
}

/// The rotation waits for consent with the old key disabled, and no operator is there: it pauses, which enables the
/// key.
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
    if next.phase() == Phase::Done && next.debt().is_some() {
        return reopen_debt(next);
    }
    match next.hold() {
        None => return Err("it is not held"),
        Some(Hold::Stuck(_)) => return Err("it is stuck: retry, once the cause is removed"),
        Some(Hold::Paused(Reason::Canary(_))) => next.units.pacing.answer(),
        Some(Hold::Paused(_)) => {}
    }
    next.holding.dismiss();
    go_on(next);
    Ok(())
}

pub(crate) fn retried(next: &mut State) -> Result<(), &'static str> {
    let stuck = matches!(next.hold(), Some(Hold::Stuck(_)));
    match next.hold() {
        None => return Err("it is not held"),
        Some(Hold::Stuck(Reason::Unclear(seq))) => intent::dismiss(next, seq),
        Some(Hold::Paused(_) | Hold::Stuck(_)) => {}
    }
    let elsewhere = next.hold() == Some(Hold::Stuck(Reason::ChangedElsewhere));
    // The issuer gives no complete list: the operator looked at its console instead.
    let overdue = next.hold() == Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
    if overdue && next.new_version().is_none() && next.bounds_looks() {
        next.minting.seek_by_hand();
        next.old.believe_word();
    }
    // A refused use was read during a stronger hold: the rotation pauses for it now.
    let unnamed = stuck && next.holding.refused_use();
    next.holding.dismiss();
    // Nothing proves that the cause is removed: the unknown label is looked for again.
    next.old.forget_list();
    go_on(next);
    if elsewhere {
        give_out_again(next);
    }
    if unnamed {
        next.stand(Hold::Paused(Reason::RefusedUse));
    }
    Ok(())
}

/// Whatever the source of truth gives out by now, the version that it should give out is promoted, or demoted, once more:
/// nothing is done if it is given out already, and the rotation is stuck again if another party's value still is.
fn give_out_again(next: &mut State) {
    if next.phase() == Phase::RollingBack {
        next.new.promote_again();
    } else if next.promoted() {
        next.new.promote_again();
        retake_pulled(next);
        next.return_to(Phase::Roll);
    }
}

/// Consumers that are being moved and pull the value themselves begin again: nothing is promoted while one is moved.
fn retake_pulled(next: &mut State) {
    for at in 0..next.units().len() {
        let pulls = next.plan().consumers.get(at).is_some_and(|consumer| !consumer.is_pushed());
        let Some(unit) = next.units.get(at).filter(|unit| pulls && unit.stage.is_moving()) else { continue };
        let slots = unit.slots;
        next.units.send(at, Which::New, slots, next.now());
    }
}

/// A debt is retried: the old key is ended again and watched again.
fn reopen_debt(next: &mut State) -> Result<(), &'static str> {
    // The issuer may have said that it ended the key, and not have done it: Revoke is sent once more. Journals of
    // protocol 3 and before only watched the key again.
    let accepted = next.debt() == Some(Debt::NotDead) && next.decided() && next.bounds_looks();
    if accepted && !next.exchanges() {
        next.old.undo_end();
    }
    let to = if next.old_key() == OldKey::Ended { Phase::ConfirmDead } else { Phase::Revoke };
    next.ending.retry();
    next.enter(to);
    Ok(())
}

fn go_on(next: &mut State) {
    next.resume();
    // The operator may have removed the cause of the hold: an earlier look counts no more.
    if next.bounds_looks() {
        next.looks.moved(next.seq());
    }
    let forward = next.phase() != Phase::RollingBack;
    retake_units(next, forward);
    if matches!(next.phase(), Phase::Quiesce | Phase::RollingBack) && next.aim().makes_new() {
        retake_unproven(next, if forward { Which::New } else { Which::Old });
    }
    let exchanges = next.exchanges();
    if exchanges && next.phase() == Phase::Decide && next.new_version().is_none() && !next.decided() {
        // Where minting itself ends the old value there is nothing to quiesce yet.
        next.return_to(Phase::Decide);
    } else if matches!(next.phase(), Phase::Disable | Phase::Soak | Phase::Decide) && !next.decided() {
        next.return_to(Phase::Quiesce);
    }
}

/// Instances that had no evidence for their version before the hold are moved once more.
fn retake_unproven(next: &mut State, stays: Which) {
    let Some(look) = next.phase_look(next.position.entered()) else { return };
    let blocked = gate::blockers(next, look, stays);
    let mut again = false;
    for blocker in blocked {
        let gate::Blocker::Unproven(consumer, who, _) = blocker else { continue };
        let slot = bit(next.looks.slot_of(who));
        let waiting = next.units.get(consumer.index()).filter(|unit| unit.stage == UnitStep::Waiting);
        let bits = waiting.map_or(0, |unit| unit.slots) | slot;
        next.units.excuse(consumer.index(), false);
        next.units.send(consumer.index(), stays, bits, next.now());
        again = true;
    }
    if again && next.phase() == Phase::Quiesce {
        next.enter(Phase::Roll);
    }
}

/// Units that failed, or that were rolled back alone, begin again.
fn retake_units(next: &mut State, forward: bool) {
    for at in next.units.resume(forward, next.now()) {
        let files = next.plan().consumers.get(at).map(|it| it.files.clone()).unwrap_or_default();
        for file in files {
            next.files.doubt(file);
        }
    }
}

pub(crate) fn abort_asked(next: &mut State) -> Result<(), &'static str> {
    if next.ended() {
        return Err("the rotation has ended");
    }
    if next.decided() {
        return Err("the point of no return lies behind: the way is forward only");
    }
    if next.emergency().is_some() {
        return Err("the old value is compromised: it is never restored");
    }
    if next.old_key() == OldKey::Ended {
        return Err("the old key is not alive: nothing can be rolled back");
    }
    if course::no_way_back(next) {
        return Err("the old value ended when the new one was made");
    }
    let held = next.holding.dismiss();
    if next.phase() != Phase::RollingBack {
        retake_retreats(next);
        next.return_to(Phase::RollingBack);
    } else if held {
        go_on(next);
    }
    Ok(())
}

/// Units that failed while they were rolled back alone are rolled back with the others, and one that is on its way has its whole
/// time. In a rotation of protocol 12 and before, the rollback was Stuck at them at once.
fn retake_retreats(next: &mut State) {
    if !next.is_since(13) {
        return;
    }
    next.units.restart_time(next.now());
    for at in next.units.failed().collect::<Vec<_>>() {
        // The rollback turns each unit round, by what its first look shows.
        next.units.send(at, Which::New, 0, next.now());
    }
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
    if next.phase() == Phase::Sweep && course::old_dropped(next) {
        return Err("the old value is gone already: open another rotation");
    }
    if next.decided() && mode == Emergency::RevokeNow {
        return Err("the old key is being ended already");
    }
    next.decisions.escalate(mode);
    look_for_label_again(next);
    let refused = next.hold() == Some(Hold::Paused(Reason::NewKeyRefused));
    if next.phase() == Phase::Sweep {
        // Sessions that were ended before the key was seen dead may have been opened again.
        next.ending.reopen_sessions();
    }
    let held = next.holding.dismiss();
    let backwards = next.phase() == Phase::RollingBack;
    retake_units(next, true);
    let begun = next.minted().is_some()
        || next.chosen().is_some()
        || next.intents().iter().any(|open| matches!(open.op, Op::Mint | Op::Choose));
    if pending_compromised && begun {
        next.abandon();
        if refused {
            next.abandoned.refuse();
        }
        if next.phase() != Phase::Preflight {
            next.enter(Phase::Mint);
        }
    } else if backwards {
        course::turn_round(next);
    } else if held && !next.decided() && next.new_version().is_some() {
        // A pause enabled the old key: as after every resume, Quiesce follows.
        if matches!(next.phase(), Phase::Disable | Phase::Soak | Phase::Decide) {
            next.enter(Phase::Quiesce);
        }
    }
    // With *revoke now* the old key is ended first, even if the new value leaked too.
    if next.emergency() == Some(Emergency::RevokeNow) && !next.exchanges() && next.old_key() != OldKey::Ended
    {
        next.decisions.decide(next.now());
        next.enter(Phase::Revoke);
    }
    Ok(())
}

/// An emergency ends a hold at an unknown label: whether the label is still there is looked for again, as after a retry, with the
/// whole time of the phase. With the old key disabled, what follows reads another list in any case, if the issuer ever gave one.
/// In rotations of protocol 17 and before, the last search ended beside the key.
fn look_for_label_again(next: &mut State) {
    let at_label = matches!(next.hold(), Some(Hold::Stuck(Reason::UnknownLabel(_))));
    if at_label && next.is_since(18) && !matches!(next.old_key(), OldKey::Off(_)) {
        next.old.forget_list();
        next.restart_window();
    }
}

pub(crate) fn hand_minted(next: &mut State, credential: &CredId) -> Result<(), &'static str> {
    if next.phase() != Phase::Mint || next.new_version().is_some() || course::dropping(next) {
        return Err("no new credential is waited for");
    }
    next.make(next.seq(), credential);
    Ok(())
}

/// The rollback did not end in time. If another party ended the shared key after the new one was deleted, every answer is a
/// refusal without an accepted key beside it, which may be an outage: only an operator can say that it is none. By that the
/// rotation goes forward, and ends nothing that others use.
fn lacks_a_key(state: &State) -> bool {
    let overdue = state.hold() == Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
    overdue && state.new_version().is_some() && state.is_since(18)
}

/// A rollback that has no new key, and only has to enable the old one.
fn owes_enabling_alone(state: &State) -> bool {
    state.phase() == Phase::RollingBack && state.new_version().is_none() && state.must_enable()
}

/// The operator's statement is no proof: the old key must still be seen dead.
pub(crate) fn hand_revoked(next: &mut State) -> Result<(), &'static str> {
    // Where disabling or revoking failed for good, the operator may have found that the key had already ended.
    let failed = matches!(
        next.hold(),
        Some(
            Hold::Stuck(Reason::Failed(_) | Reason::Overdue(_))
                | Hold::Paused(Reason::Failed(_) | Reason::Overdue(_) | Reason::LastUseNotShown)
        )
    );
    if !next.aim().ends_old() && !lacks_a_key(next) {
        return Err("the old key is kept: others use it");
    }
    if next.phase() != Phase::Revoke && !failed {
        return Err("the old key is not to be ended yet");
    }
    let ends_by_mint = next.exchanges() && !next.decided() && next.emergency().is_none();
    if next.is_since(18) && ends_by_mint && next.old_key() != OldKey::Ended {
        // The statement would stand for the operator's consent to what the mint ends.
        return Err("the new key ends the old one when it is made, which was not consented to yet");
    }
    if failed {
        next.holding.release();
        next.restart_window();
    }
    // Nothing would ask about the key before such a rollback is over: it would end with a disabled key on the operator's word alone.
    if next.is_since(18) && owes_enabling_alone(next) {
        next.old.say_ended();
    }
    // The issuer may refuse a key that is only disabled. Journals of protocol 3 and before believed the statement.
    let ours = next.decided() && !next.bounds_looks();
    next.end_old(ours);
    Ok(())
}
