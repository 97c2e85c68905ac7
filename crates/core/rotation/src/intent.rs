//! Intents: journaled before their effect, closed by an outcome, or reconciled when the outcome is unknown.

use crate::deadlines;
use crate::effect::Effect;
use crate::state::{Hold, Intent, IntentStatus, OldKey, Phase, Reason, State};
use crate::{
    ConsumerId, Difference, Emergency, FileId, MintedBy, Op, Outcome, Overlap, Reconciled, Seq, Which,
};
use crate::{course, left, turn, unit, wants};

/// How many complete lists must miss a minted credential before it counts as never made.
pub(crate) const ABSENT_LOOKS: u8 = 3;

pub(crate) fn intended(next: &mut State, before: &State, op: &Op) -> Result<Vec<Effect>, &'static str> {
    if !wants::is_wanted(before, op) && !wants::was_wanted(before, op) {
        return Err("nothing wants this operation now");
    }
    let rests = next.bounds_looks() && rests_on_look(next, op);
    if rests && next.lacks_young_look() {
        return Err("the look that it would rest on is too old");
    }
    let until_ms = next.young_until().filter(|_| rests);
    turn::take(next, before, op);
    next.intents.begin(next.seq(), op);
    next.new.begin(op);
    if *op == Op::Disable {
        next.switching.begin_disable();
    }
    stir(next, op);
    unit::begun(next, op);
    Ok(vec![Effect { intent: next.seq(), op: op.clone(), until_ms }])
}

/// Whether an operation ends a key that processes may use, and so must not be carried out on an old look.
fn rests_on_look(state: &State, op: &Op) -> bool {
    match op {
        Op::Disable | Op::DeleteNew => true,
        Op::Revoke => state.emergency() != Some(Emergency::RevokeNow),
        // The exchange: minting ends the old value.
        Op::Mint => course::mint_ends_old(state),
        Op::Choose
        | Op::Stage
        | Op::Deliver(..)
        | Op::Fetch(_)
        | Op::Apply(..)
        | Op::Promote
        | Op::Demote
        | Op::Enable
        | Op::EndSessions
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => false,
    }
}

fn stir(next: &mut State, op: &Op) {
    if op.moves() {
        next.looks.moved(next.seq());
        next.use_new_again();
    }
}

/// An intent that has not ended, by its number.
fn open(state: &State, seq: Seq) -> Result<Intent, &'static str> {
    state.intents.find(seq).cloned().ok_or("no intent of this number is open")
}

pub(crate) fn ended(next: &mut State, seq: Seq, outcome: &Outcome) -> Result<(), &'static str> {
    let intent = open(next, seq)?;
    stir(next, &intent.op);
    if !matches!(outcome, Outcome::Refused(_) | Outcome::ChangedElsewhere) {
        unit::touched(next, &intent.op, matches!(outcome, Outcome::Failed { .. }));
    }
    match outcome {
        Outcome::Done(credential) => {
            next.intents.close(seq);
            match (&intent.op, credential) {
                (Op::Mint, None) => return Err("a mint that names no credential"),
                (Op::Mint, Some(credential)) => next.made(seq, credential),
                _ => done(next, &intent),
            }
        }
        Outcome::Failed { retry } => {
            next.intents.close(seq);
            failed(next, &intent, *retry);
        }
        Outcome::Unknown => {
            unknown(next, &intent);
            // `driver_started` does not count an attempt whose outcome is unknown only because its driver ended.
            unit::attempt_unclear(next, &intent.op);
            if in_its_phase(next, &intent) {
                next.attempts.fail();
            }
        }
        Outcome::Refused(differences) => {
            let Op::Apply(consumer, slot, which) = intent.op else {
                return Err("only an apply is refused for what it would make live");
            };
            next.intents.close(seq);
            refused(next, consumer, slot, which, differences);
        }
        Outcome::ChangedElsewhere => {
            if !matches!(intent.op, Op::Stage | Op::Fetch(_) | Op::Apply(..) | Op::Promote | Op::Demote) {
                return Err("this operation does not ask the source of truth");
            }
            next.intents.close(seq);
            if intent.op == Op::Promote {
                unit::not_given_out(next);
            }
            changed_elsewhere(next, &intent);
        }
    }
    Ok(())
}

/// The source of truth does not give out what it must for this operation: nothing was done. If the operation is still
/// needed, the operator looks there first.
fn changed_elsewhere(next: &mut State, intent: &Intent) {
    let back = next.phase() == Phase::RollingBack;
    let needed = match &intent.op {
        Op::Stage => intent.seq > next.position.entered(),
        Op::Promote => !back,
        Op::Demote => back && next.new.may_have_been_promoted(),
        Op::Fetch(consumer) | Op::Apply(consumer, ..) => unit::attempts(next, *consumer, &intent.op),
        Op::Choose
        | Op::Mint
        | Op::Deliver(..)
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteNew
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => false,
    };
    if needed && !of_an_abandoned(next, intent) {
        next.stand(Hold::Stuck(Reason::ChangedElsewhere));
    }
}

/// A restart would have activated pending changes: nothing was done, and the rotation pauses. The unit has not failed:
/// a rollback would restart it too.
fn refused(next: &mut State, consumer: ConsumerId, slot: u8, which: Which, differences: &[Difference]) {
    next.units.refuse(consumer.index(), slot);
    if !next.asks_acceptance(which) || next.has_gone(consumer) {
        return;
    }
    for difference in differences {
        next.exceptions.refuse(difference);
    }
    if next.hold().is_none() {
        next.stand(Hold::Paused(Reason::Unaccepted(consumer)));
    }
}

fn unknown(next: &mut State, intent: &Intent) {
    next.intents.doubt(intent.seq, next.now(), 0);
    if intent.op == Op::Disable {
        next.switching.doubt_disable();
        next.uses.forget_refusals();
    }
}

/// An operation was seen to have its effect.
fn done(next: &mut State, intent: &Intent) {
    if of_an_abandoned(next, intent) {
        return;
    }
    match &intent.op {
        Op::Mint => {}
        Op::Choose => next.minting.choose(intent.seq),
        Op::Stage => next.new.stage(),
        Op::Deliver(file, which) => next.files.deliver(*file, *which),
        Op::Fetch(consumer) => unit::fetched(next, *consumer),
        // A unit that was turned round meanwhile goes its own way. Journals of protocol 3 and before let it prove.
        Op::Apply(consumer, slot, _)
            if unit::attempts(next, *consumer, &intent.op) || !next.bounds_looks() =>
        {
            next.units.apply(consumer.index(), *slot, next.now());
        }
        Op::Apply(..) => {}
        Op::Promote => next.new.promote(),
        Op::Demote => next.new.demote(),
        Op::Disable => next.disable_old(),
        Op::Enable => next.enable_old(),
        Op::Revoke => next.end_old(true),
        Op::EndSessions => next.ending.end_sessions(next.seq()),
        Op::DeleteNew => {
            next.new.delete();
            // The credential may have appeared after an earlier list was read: the last list is read after this
            // deletion.
            next.old.forget_list();
        }
        Op::DeleteOrphan(credential) => forget_orphan(next, credential),
        Op::DeleteAbandoned(credential) => next.abandoned.forget(credential),
        Op::Retire(_) => next.new.retire(),
    }
}

/// Whether an operation concerns a version that is abandoned by now: its outcome says nothing.
fn of_an_abandoned(state: &State, intent: &Intent) -> bool {
    state.abandoned.covers(intent.seq) && of_the_new(&intent.op)
}

/// Whether an operation concerns the new version.
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
    for mint in next.intents.close_orphan(credential) {
        next.minting.close(mint);
    }
}

/// An operation certainly had no effect.
fn failed(next: &mut State, intent: &Intent, retry: bool) {
    if intent.op == Op::Mint {
        next.minting.close(intent.seq);
    }
    // The failure of an operation that was begun in an earlier phase, for an abandoned version, or for what was let go, counts
    // for nothing: the operation is wanted again if it is still needed.
    if left::is_let_go(next, &intent.op)
        || of_an_abandoned(next, intent)
        || (intent.seq < next.position.entered() && !intent.op.moves())
    {
        return;
    }
    if unit::attempt_failed(next, &intent.op, retry) {
        return;
    }
    in_vain(next, &intent.op);
    next.attempts.fail();
    if !retry || next.attempts.exhausted() {
        give_up(next, &intent.op);
    }
}

/// Minutes may have passed between the look and this failed Revoke: the next Revoke needs a new look.
fn in_vain(next: &mut State, op: &Op) {
    if *op == Op::Revoke {
        next.ending.fail_revoke(next.seq(), next.now());
    }
}

/// What follows when an operation that belongs to no unit failed for good.
fn give_up(next: &mut State, op: &Op) {
    let phase = next.phase();
    match op {
        Op::Revoke | Op::EndSessions
            if next.emergency() == Some(Emergency::RevokeNow) && !course::rolled(next) =>
        {
            // The consumers are moved all the same; then the operation is tried again.
            let to = course::first_unfinished(next);
            next.enter(to);
        }
        Op::Revoke => {
            next.sweep_owing(crate::Debt::NotRevoked);
        }
        Op::Choose | Op::Mint | Op::Stage | Op::Promote if !next.forward_only() => {
            course::phases_fail(next, Reason::Failed(phase));
        }
        Op::Enable => {
            next.stand(Hold::Stuck(Reason::Failed(phase)));
            next.switching.fail_enable();
        }
        Op::Demote | Op::DeleteNew => next.stand(Hold::Stuck(Reason::Failed(phase))),
        // The key is probed next: it may have ended already.
        Op::Disable => {
            next.attempts.exhaust();
            next.answers.forget_old();
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

pub(crate) fn driver_started(next: &mut State) {
    let orphan = |open: &Intent| matches!(open.status, IntentStatus::Orphan(_));
    let unheard: Vec<Intent> = next.intents().iter().filter(|open| !orphan(open)).cloned().collect();
    for intent in unheard {
        unit::touched(next, &intent.op, false);
        unknown(next, &intent);
    }
    next.driver_started();
}

pub(crate) fn reconciled(next: &mut State, seq: Seq, found: &Reconciled) -> Result<(), &'static str> {
    let intent = open(next, seq)?;
    stir(next, &intent.op);
    let IntentStatus::Unknown { since, absent } = intent.status else {
        return Err("the outcome of this intent is not in question");
    };
    match found {
        Reconciled::Executed(_) if deadlines::may_still_disable(next, &intent, since) => {
            // The effect may be that of another Disable; this one may still arrive.
        }
        Reconciled::Executed(credential) => {
            next.intents.close(seq);
            if intent.op == Op::Mint {
                let credential = credential.as_ref().ok_or("a mint that names no credential")?;
                next.made(seq, credential);
            } else {
                done(next, &intent);
            }
        }
        Reconciled::ValueLost(credential) => {
            if intent.op != Op::Mint {
                return Err("only a mint can lose its value");
            }
            if matches!(next.plan().capabilities.overlap, Overlap::None) {
                // The issuer has only one credential, and its value is lost: the operator makes the next one.
                next.intents.close(seq);
                next.minting.close(seq);
                next.end_old(true);
                next.minting.make_by_hand();
            } else {
                next.intents.orphan(seq, credential);
                given_up_in_vain(next, &intent);
            }
        }
        Reconciled::Absent => absent_once(next, &intent, since, absent),
        Reconciled::Unclear => still_unclear(next, &intent, since),
        Reconciled::Foreign => {
            if let Op::Deliver(file, _) = intent.op {
                foreign_file(next, &intent, file);
            } else if matches!(intent.op, Op::Promote | Op::Demote) {
                foreign_truth(next, &intent, since);
            } else {
                return Err("only a file or the source of truth can be foreign");
            }
        }
    }
    Ok(())
}

fn foreign_file(next: &mut State, intent: &Intent, file: FileId) {
    next.intents.close(intent.seq);
    next.files.find_foreign(file);
    // During a rollback the other units are restored first; then the edit is found again.
    if next.phase() == Phase::RollingBack {
        unit::attempt_failed(next, &intent.op, false);
    } else if !next.accepts_file(file) {
        next.stand(Hold::Stuck(Reason::Foreign(file)));
    }
}

/// Another party changed what the source of truth gives out, before this operation or after it: whether the new version was
/// ever given out stays unknown. Until no request of the operation can arrive any more, its intent stays open.
fn foreign_truth(next: &mut State, intent: &Intent, since: crate::Stamp) {
    if !next.now().at_least(deadlines::settle_ms(next, &intent.op), since) {
        return;
    }
    next.intents.close(intent.seq);
    if !next.abandoned.covers(intent.seq) {
        next.new.doubt_promotion();
        next.stand(Hold::Stuck(Reason::ChangedElsewhere));
    }
}

/// Absence counts for a mint only after several complete looks over the issuer's visibility time.
fn absent_once(next: &mut State, intent: &Intent, since: crate::Stamp, absent: u8) {
    let absent = absent.saturating_add(1);
    let mint = intent.op == Op::Mint;
    let settled = next.now().at_least(deadlines::settle_ms(next, &intent.op), since);
    let enough = settled && (!mint || absent >= ABSENT_LOOKS);
    if enough && mint && !absence_shows(next) {
        next.stand(Hold::Stuck(Reason::Unclear(intent.seq)));
        return;
    }
    if !enough {
        next.intents.doubt(intent.seq, since, absent);
        return;
    }
    next.intents.close(intent.seq);
    unit::attempt_absent(next, &intent.op);
    in_vain(next, &intent.op);
    if mint {
        next.minting.close(intent.seq);
        let untouched =
            next.old_key() == OldKey::On && next.abandoned().is_empty() && next.emergency().is_none();
        if next.exchanges() && untouched {
            // With overlap none, a mint that was not executed is never retried. The issuer accepted the old value all
            // along.
            next.decisions.undecide();
            next.enter(Phase::RollingBack);
        } else if next.exchanges() {
            next.minting.make_by_hand();
        } else {
            given_up_in_vain(next, intent);
        }
    } else {
        given_up_in_vain(next, intent);
    }
}

/// Whether an operation that belongs to no unit was begun in the phase that it belongs to: its attempts without a known
/// outcome, for which a driver waited, are counted there.
fn in_its_phase(next: &State, intent: &Intent) -> bool {
    let phase = match intent.op {
        Op::Mint => Phase::Mint,
        Op::Stage => Phase::Stage,
        Op::Promote => Phase::Roll,
        Op::Demote => Phase::RollingBack,
        Op::Choose
        | Op::Deliver(..)
        | Op::Fetch(_)
        | Op::Apply(..)
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteNew
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => return false,
    };
    next.phase() == phase && intent.seq > next.position.entered() && !of_an_abandoned(next, intent)
}

/// An attempt left nothing. An issuer or a source of truth that does so every time is not asked for ever.
fn given_up_in_vain(next: &mut State, intent: &Intent) {
    if in_its_phase(next, intent) && next.attempts.exhausted() {
        give_up(next, &intent.op);
    }
}

/// Whether a mint that is not seen was certainly not carried out, or is harmless. A list with labels shows it, or a value
/// that we chose, or the old value, which a mint would have ended; and a next mint may replace what it made.
fn absence_shows(state: &State) -> bool {
    let capabilities = &state.plan().capabilities;
    (capabilities.list && capabilities.label)
        || capabilities.minted_by == MintedBy::Us
        || capabilities.mint_replaces
        || state.exchanges()
}

/// The operator settled an operation whose outcome is unknown.
pub(crate) fn dismiss(next: &mut State, seq: Seq) {
    let Ok(intent) = open(next, seq) else { return };
    // The store says whether it dropped the old value, once it answers. Without that value no further look is possible.
    if intent.op == Op::Retire(Which::Old) && next.bounds_looks() {
        return next.intents.doubt(seq, next.now(), 0);
    }
    next.intents.close(seq);
    if intent.op == Op::Mint {
        next.minting.close(seq);
        if next.exchanges() {
            next.minting.make_by_hand();
        }
    }
    if intent.op == Op::Promote {
        next.new.doubt_promotion();
    }
}

fn still_unclear(next: &mut State, intent: &Intent, since: crate::Stamp) {
    if next.now().at_least(next.plan().policy.phase_ms_max, since) {
        next.stand(Hold::Stuck(Reason::Unclear(intent.seq)));
    }
}
