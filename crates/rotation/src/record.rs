//! What each observation changes, before the phases are asked what follows.

use std::sync::Arc;

use crate::state::{Hold, Idle, Intent, IntentStatus, Look, OldKey, Phase, Reason, Stage, State};
use crate::{
    Answer, ConsumerId, EndpointId, Enumeration, Labelled, Op, PreflightSeen, Proof, Standing, Streak, Which,
    intent, phases, unit,
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
    // An answer to one version says nothing about the other, however late it comes.
    if version == Which::New {
        if let Some(streak) = next.accepted_new.get_mut(endpoint.index()) {
            count(streak, alive, now);
        }
        return Ok(());
    }
    // A probe of ours moves the issuer's last-used time: what was seen idle until now begins anew.
    if alive {
        next.idle = None;
        if next.old != OldKey::Ended {
            // Whatever a list missed, it is there.
            next.gone = None;
        }
    }
    if let Some(streak) = next.alive.get_mut(endpoint.index()) {
        count(streak, alive, now);
    }
    // Without an accepted control beside it a refusal may be an outage: it neither counts nor resets.
    let control_alive = control.map_or(next.aim().makes_new(), |control| accepted(next, control));
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
        next.lists_old = old == Standing::On;
        if !next.ended() {
            stands(next, old);
        }
    }
}

/// What a complete list says of the old key. It may lag behind what is done to the key as long as that takes to be
/// obeyed, and its answer may be as old as a request may last. One that is read in pages may miss a key.
fn stands(next: &mut State, old: Standing) {
    let lag = next.plan.capabilities.list_ms_max();
    let settled = |since: Option<crate::Stamp>| since.is_some_and(|since| next.now.at_least(lag, since));
    match (old, next.old) {
        (Standing::Gone, OldKey::On | OldKey::Off(_)) if settled(next.gone) => next.end_old(false),
        (Standing::Gone, OldKey::On | OldKey::Off(_)) => next.gone = next.gone.or(Some(next.now)),
        (Standing::On | Standing::Off, OldKey::Ended) if settled(next.gone) => taken_back(next, old),
        (Standing::On, OldKey::Off(since)) if settled(Some(since)) => {
            (next.old, next.gone) = (OldKey::On, None);
        }
        (Standing::On | Standing::Off, OldKey::On | OldKey::Off(_)) => next.gone = None,
        (Standing::Gone | Standing::On | Standing::Off, OldKey::Ended) | (Standing::NotVisible, _) => {}
    }
}

/// A key that somebody else seemed to have ended is there: it has still to be ended, behind the gate.
fn taken_back(next: &mut State, old: Standing) {
    if next.retired || next.intents.iter().any(|open| open.op == Op::Retire(Which::Old)) {
        return;
    }
    next.old = if old == Standing::Off { OldKey::Off(next.now) } else { OldKey::On };
    next.gone = None;
    if matches!(next.phase, Phase::Revoke | Phase::ConfirmDead | Phase::Sweep) {
        next.enter(if next.decided.is_some() { Phase::Revoke } else { Phase::Quiesce });
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
    if count > 0 && phases::watching(next) {
        next.refused_use = true;
        next.stand(Hold::Paused(Reason::RefusedUse));
    }
}
