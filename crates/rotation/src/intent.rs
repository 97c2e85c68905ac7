//! Intents: journaled before their effect, ended by an outcome, or reconciled when the outcome is unknown.

use crate::effect::Effect;
use crate::state::{Hold, Intent, IntentStatus, NewVersion, OldKey, Phase, Reason, State};
use crate::{
    ConsumerId, Difference, Emergency, Found, Holds, MintedBy, Op, Outcome, Overlap, Seq, Want, Which, wants,
};
use crate::{phases, unit};

/// Complete looks that must miss a minted credential before it counts as never made.
pub(crate) const ABSENT_LOOKS: u8 = 3;

/// Attempts of one operation that surely failed, before the phase fails.
pub(crate) const ATTEMPTS_MAX: u8 = 5;

pub(crate) fn intended(next: &mut State, before: &State, op: &Op) -> Result<Vec<Effect>, &'static str> {
    let wanted = wants(before).into_iter().any(|want| want == Want::Do(op.clone()));
    if !wanted && !phases::was_wanted(before, op) {
        return Err("nothing wants this operation now");
    }
    let intent = Intent { seq: next.seq, op: op.clone(), status: IntentStatus::Running };
    next.intents.push(intent);
    next.deleting |= matches!(op, Op::DeleteNew | Op::Retire(Which::New));
    next.disabled_again |= *op == Op::Disable && next.off_in_doubt;
    stir(next, op);
    unit::begun(next, op);
    Ok(vec![Effect { intent: next.seq, op: op.clone() }])
}

fn stir(next: &mut State, op: &Op) {
    if op.moves() {
        next.stirred = next.seq;
    }
}

pub(crate) fn ended(next: &mut State, seq: Seq, outcome: &Outcome) -> Result<(), &'static str> {
    let place = next.intents.iter().position(|intent| intent.seq == seq);
    let place = place.ok_or("no intent of this number is open")?;
    if let Some(intent) = next.intents.get(place) {
        let op = intent.op.clone();
        stir(next, &op);
        if !matches!(outcome, Outcome::Refused(_)) {
            unit::touched(next, &op);
        }
    }
    match outcome {
        Outcome::Done(credential) => {
            let intent = next.intents.remove(place);
            match (&intent.op, credential) {
                (Op::Mint, None) => return Err("a mint that names no credential"),
                (Op::Mint, Some(credential)) => made(next, &intent, credential),
                _ => done(next, &intent),
            }
        }
        Outcome::Failed { retry } => {
            let intent = next.intents.remove(place);
            failed(next, &intent, *retry);
        }
        Outcome::Unknown => {
            let op = next.intents.get(place).map(|intent| intent.op.clone());
            unknown(next, place);
            // What a driver's end leaves in question is not counted: nobody saw that it went wrong.
            if let Some(op) = op {
                unit::attempt_unclear(next, &op);
                mint_unclear(next, seq, &op);
            }
        }
        Outcome::Refused(differences) => {
            let intent = next.intents.get(place).ok_or("no intent of this number is open")?;
            let Op::Apply(consumer, slot, which) = intent.op else {
                return Err("only an apply is refused for what it would make live");
            };
            next.intents.remove(place);
            refused(next, consumer, slot, which, differences);
        }
    }
    Ok(())
}

/// A restart would have made more live than the value: nothing was done, and a person looks. It is no failure of the
/// unit: a way back would restart it too.
fn refused(next: &mut State, consumer: ConsumerId, slot: u8, which: Which, differences: &[Difference]) {
    unit::refused(next, consumer, slot);
    if !next.asks_acceptance(which) {
        return;
    }
    for difference in differences {
        next.refused.retain(|known| known.name != difference.name);
        next.refused.push(difference.clone());
    }
    if next.hold.is_none() {
        next.stand(Hold::Paused(Reason::Unaccepted(consumer)));
    }
}

/// The new version is there; where minting exchanges, the old one ends by it.
fn made(next: &mut State, intent: &Intent, credential: &crate::CredId) {
    // In a slot the new value replaces what was abandoned there.
    next.abandoned.retain(|held| held != credential);
    if intent.seq < next.abandoned_at || next.new_version().is_some() {
        next.abandoned.push(credential.clone());
        return;
    }
    next.new = Some(NewVersion { mint: intent.seq, credential: credential.clone() });
    (next.staged, next.checked, next.new_deleted, next.retired) = (false, false, false, false);
    next.deleting = false;
    if phases::exchanges(next) {
        next.end_old(true);
    }
}

fn unknown(next: &mut State, place: usize) {
    let since = next.now;
    let Some(intent) = next.intents.get_mut(place) else { return };
    intent.status = IntentStatus::Unknown { since, absent: 0 };
    if intent.op == Op::Disable {
        next.off_in_doubt = true;
        next.refusals_read = None;
    }
}

/// An operation was seen to have its effect.
fn done(next: &mut State, intent: &Intent) {
    if intent.seq < next.abandoned_at && of_the_new(&intent.op) {
        return;
    }
    match &intent.op {
        Op::Mint => {}
        Op::Choose => next.chosen = Some(intent.seq),
        Op::Stage => next.staged = true,
        Op::Deliver(file, which) => {
            if let Some(holds) = next.files.get_mut(file.index()) {
                *holds = Holds::of(*which);
            }
        }
        Op::Fetch(consumer) => unit::fetched(next, *consumer),
        Op::Apply(consumer, slot, _) => unit::applied(next, *consumer, *slot),
        Op::Promote => (next.promoted, next.promote_in_doubt) = (true, false),
        Op::Demote => (next.promoted, next.promote_in_doubt) = (false, false),
        Op::Disable => {
            next.old = OldKey::Off(next.now);
            next.off_in_doubt = false;
            next.refusals_read = None;
        }
        Op::Enable => {
            next.old = OldKey::On;
            (next.off_in_doubt, next.enable_failed, next.enabled) = (false, false, next.seq);
            next.disabled_again = false;
            next.dead.fill(crate::Streak::default());
            next.alive.fill(crate::Streak::default());
        }
        Op::Revoke => next.end_old(true),
        Op::EndSessions => next.sessions_ended = Some(next.seq),
        Op::DeleteNew => {
            next.new_deleted = true;
            // What an earlier list did not show may have appeared since: the last one comes after this.
            next.listed = None;
        }
        Op::DeleteOrphan(credential) => forget_orphan(next, credential),
        Op::DeleteAbandoned(credential) => next.abandoned.retain(|held| held != credential),
        Op::Retire(_) => next.retired = true,
    }
}

/// Whether an operation is about the new version: once that is abandoned, its outcome says nothing any more.
fn of_the_new(op: &Op) -> bool {
    match op {
        Op::Choose
        | Op::Stage
        | Op::Deliver(_, Which::New)
        | Op::Fetch(_)
        | Op::Apply(..)
        | Op::Promote
        | Op::DeleteNew
        | Op::Retire(Which::New) => true,
        Op::Mint
        | Op::Deliver(_, Which::Old)
        | Op::Demote
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(Which::Old) => false,
    }
}

fn forget_orphan(next: &mut State, credential: &crate::CredId) {
    let gone = IntentStatus::Orphan(credential.clone());
    for intent in &next.intents {
        if intent.status == gone {
            next.closed_mints.push(intent.seq);
        }
    }
    next.intents.retain(|intent| intent.status != gone);
}

/// An operation surely had no effect.
fn failed(next: &mut State, intent: &Intent, retry: bool) {
    if intent.op == Op::Mint {
        next.closed_mints.push(intent.seq);
    }
    // What was begun before the present phase, or for a version that was given up, decides nothing here: it is
    // wanted again if it is still right.
    let stale = intent.seq < next.abandoned_at && of_the_new(&intent.op);
    if stale || (intent.seq < next.entered && !intent.op.moves()) {
        return;
    }
    if unit::attempt_failed(next, &intent.op, retry) {
        return;
    }
    in_vain(next, &intent.op);
    next.failures = next.failures.saturating_add(1);
    if !retry || next.failures >= ATTEMPTS_MAX {
        give_up(next, &intent.op);
    }
}

/// Minutes may have passed since the look that a Revoke was sent after.
fn in_vain(next: &mut State, op: &Op) {
    if *op == Op::Revoke {
        next.unrevoked = next.seq;
    }
}

/// What follows when an operation that no unit owns failed for good.
fn give_up(next: &mut State, op: &Op) {
    let phase = next.phase;
    match op {
        Op::Revoke | Op::EndSessions
            if next.emergency == Some(Emergency::RevokeNow) && !phases::rolled(next) =>
        {
            // The consumers are moved all the same; then it is tried again.
            let to = crate::people::first_unfinished(next);
            next.enter(to);
        }
        Op::Revoke => {
            next.debt = Some(crate::Debt::NotRevoked);
            next.enter(Phase::Sweep);
        }
        Op::Choose | Op::Mint | Op::Stage | Op::Promote if !next.forward_only() => {
            phases_fail(next, Reason::Failed(phase));
        }
        Op::Enable => {
            next.stand(Hold::Stuck(Reason::Failed(phase)));
            next.enable_failed = true;
        }
        Op::Demote | Op::DeleteNew => next.stand(Hold::Stuck(Reason::Failed(phase))),
        // It is looked at whether there is still something to switch off.
        Op::Disable => {
            next.failures = ATTEMPTS_MAX;
            next.alive.fill(crate::Streak::default());
            next.dead.fill(crate::Streak::default());
        }
        Op::Choose
        | Op::Mint
        | Op::Stage
        | Op::Promote
        | Op::EndSessions
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_)
        | Op::Deliver(..)
        | Op::Fetch(_)
        | Op::Apply(..) => next.stand(Hold::Paused(Reason::Failed(phase))),
    }
}

/// A phase before the point of no return failed: the policy says whether it goes back or waits.
pub(crate) fn phases_fail(next: &mut State, reason: Reason) {
    let back = next.plan.policy.on_failure == crate::OnFailure::Rollback;
    if back && !next.forward_only() && !no_way_back(next) {
        next.enter(Phase::RollingBack);
    } else {
        next.stand(Hold::Paused(reason));
    }
}

/// With overlap none or grace the old value ends by the mint itself: after it there is nothing to go back to.
pub(crate) fn no_way_back(state: &State) -> bool {
    match state.plan.capabilities.overlap {
        Overlap::None | Overlap::Grace { .. } => state.decided.is_some() || state.new.is_some(),
        Overlap::Independent { .. } | Overlap::TwoSlots => false,
    }
}

pub(crate) fn driver_started(next: &mut State) {
    for place in 0..next.intents.len() {
        let status = next.intents.get(place).map(|intent| &intent.status);
        match status {
            Some(IntentStatus::Running | IntentStatus::Unknown { .. }) => {
                if let Some(op) = next.intents.get(place).map(|intent| intent.op.clone()) {
                    unit::touched(next, &op);
                }
                unknown(next, place);
            }
            Some(IntentStatus::Orphan(_)) | None => {}
        }
    }
    next.phase_since = next.now;
    next.idle = None;
    next.refusals_read = None;
    next.stood.1 = next.now;
    next.enable_failed = false;
    next.accepted_new.fill(crate::Streak::default());
    next.alive.fill(crate::Streak::default());
    next.dead.fill(crate::Streak::default());
    if let OldKey::Off(_) = next.old {
        next.old = OldKey::Off(next.now);
    }
    next.gone = next.gone.map(|_| next.now);
    for unit in &mut next.units {
        unit.since = next.now;
    }
}

pub(crate) fn reconciled(next: &mut State, seq: Seq, found: &Found) -> Result<(), &'static str> {
    let place = next.intents.iter().position(|intent| intent.seq == seq);
    let place = place.ok_or("no intent of this number is open")?;
    let intent = next.intents.get(place).cloned().ok_or("no intent of this number is open")?;
    stir(next, &intent.op);
    let IntentStatus::Unknown { since, absent } = intent.status else {
        return Err("the outcome of this intent is not in question");
    };
    match found {
        Found::Executed(_)
            if repeated(next, &intent.op) && !next.now.at_least(settle_ms(next, &intent.op), since) =>
        {
            // What is seen may be the effect of the one before: this one may still be on its way.
        }
        Found::Executed(credential) => {
            next.intents.remove(place);
            if intent.op == Op::Mint {
                let credential = credential.as_ref().ok_or("a mint that names no credential")?;
                made(next, &intent, credential);
            } else {
                done(next, &intent);
            }
        }
        Found::ValueLost(credential) => {
            if intent.op != Op::Mint {
                return Err("only a mint can lose its value");
            }
            if matches!(next.plan.capabilities.overlap, Overlap::None) {
                // The only credential has a value that nobody knows: a person makes the next one.
                next.intents.remove(place);
                next.closed_mints.push(seq);
                next.end_old(true);
                next.by_hand = true;
            } else if let Some(open) = next.intents.get_mut(place) {
                open.status = IntentStatus::Orphan(credential.clone());
                mint_in_vain(next, &intent);
            }
        }
        Found::Absent => absent_once(next, place, &intent, since, absent),
        Found::Unclear => still_unclear(next, &intent, since),
        Found::Foreign => {
            let Op::Deliver(file, _) = intent.op else { return Err("only a file can be foreign") };
            next.intents.remove(place);
            if let Some(holds) = next.files.get_mut(file.index()) {
                *holds = Holds::Other;
            }
            // On the way back the others are restored first, whoever wrote it; then it is found again.
            if next.phase == Phase::RollingBack {
                unit::attempt_failed(next, &intent.op, false);
            } else {
                next.stand(Hold::Stuck(Reason::Foreign(file)));
            }
        }
    }
    Ok(())
}

/// A Disable that was sent once more because the one before it was lost: after it is known what became of it none of
/// them may arrive any more, or it would undo an Enable.
fn repeated(state: &State, op: &Op) -> bool {
    *op == Op::Disable && state.disabled_again
}

/// Absence counts for a mint only after several complete looks over the issuer's visibility time.
fn absent_once(next: &mut State, place: usize, intent: &Intent, since: crate::Stamp, absent: u8) {
    let absent = absent.saturating_add(1);
    let mint = intent.op == Op::Mint;
    let settled = next.now.at_least(settle_ms(next, &intent.op), since);
    let enough = settled && (!mint || absent >= ABSENT_LOOKS);
    if enough && mint && !absence_shows(next) {
        next.stand(Hold::Stuck(Reason::Unclear(intent.seq)));
        return;
    }
    if !enough {
        if let Some(open) = next.intents.get_mut(place) {
            open.status = IntentStatus::Unknown { since, absent };
        }
        return;
    }
    next.intents.remove(place);
    unit::attempt_absent(next, &intent.op);
    in_vain(next, &intent.op);
    if mint {
        next.closed_mints.push(intent.seq);
        let untouched = next.old == OldKey::On && next.abandoned.is_empty() && next.emergency.is_none();
        if phases::exchanges(next) && untouched {
            // Overlap none: not executed, and never retried. The old value was accepted all along.
            next.decided = None;
            next.enter(Phase::RollingBack);
        } else if phases::exchanges(next) {
            next.by_hand = true;
        } else {
            mint_in_vain(next, intent);
        }
    }
}

/// A mint of which nobody saw how it ended, although its driver waited for that.
fn mint_unclear(next: &mut State, seq: Seq, op: &Op) {
    if *op == Op::Mint && next.phase == Phase::Mint && seq > next.entered {
        next.failures = next.failures.saturating_add(1);
    }
}

/// A mint left nothing that can be used: an issuer that answers so every time is not asked again and again.
fn mint_in_vain(next: &mut State, intent: &Intent) {
    if next.phase == Phase::Mint && intent.seq > next.entered && next.failures >= ATTEMPTS_MAX {
        give_up(next, &Op::Mint);
    }
}

/// How long an operation whose answer is missing may still have its effect, or stay unseen.
fn settle_ms(state: &State, op: &Op) -> u64 {
    let capabilities = &state.plan.capabilities;
    let request = capabilities.request_ms_max;
    match (op, capabilities.overlap) {
        (Op::Mint, Overlap::Grace { ms }) if !(capabilities.list && capabilities.label) => {
            // The old value goes on working for that long although the new one was made.
            request.saturating_add(capabilities.birth_ms_max).saturating_add(ms)
        }
        (Op::Mint, _) => request.saturating_add(capabilities.birth_ms_max),
        (Op::Promote | Op::Demote, _) => request,
        (op, _) if op.at_issuer() => request,
        _ => 0,
    }
}

/// Whether a mint that is not seen was surely not carried out: by a list with labels, by a value that we chose, or
/// by the old value that a mint would have ended.
fn absence_shows(state: &State) -> bool {
    let capabilities = &state.plan.capabilities;
    (capabilities.list && capabilities.label)
        || capabilities.minted_by == MintedBy::Us
        || phases::exchanges(state)
}

/// A person says that an operation in question was dealt with.
pub(crate) fn dismiss(next: &mut State, seq: Seq) {
    let Some(place) = next.intents.iter().position(|intent| intent.seq == seq) else { return };
    let intent = next.intents.remove(place);
    if intent.op == Op::Mint {
        next.closed_mints.push(seq);
        next.by_hand |= phases::exchanges(next);
    }
    next.promote_in_doubt |= intent.op == Op::Promote;
}

fn still_unclear(next: &mut State, intent: &Intent, since: crate::Stamp) {
    if next.now.at_least(next.plan.policy.phase_ms_max, since) {
        next.stand(Hold::Stuck(Reason::Unclear(intent.seq)));
    }
}

/// Whether an operation on a version waits for an unknown outcome; then nothing new is begun.
pub(crate) fn in_question(state: &State) -> Option<Seq> {
    let unknown = |intent: &&Intent| matches!(intent.status, IntentStatus::Unknown { .. });
    state.intents.iter().find(unknown).map(|intent| intent.seq)
}
