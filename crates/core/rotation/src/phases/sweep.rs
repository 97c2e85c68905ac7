use crate::deadlines;
use crate::gate::{Blocker, blockers};
use crate::state::{Debt, Hold, Look, OldKey, Phase, Reason, State};
use crate::{ConsumerId, ListedState, Op, Query, Want, Which, course, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // Sweep is the last phase to find an instance that started after the point of no return; it is rolled forward.
    let look = state.fresh_look(state.position.entered());
    let unproven = look.map_or_else(Vec::new, |look| unproven(state, look));
    if look.is_none() || !unproven.is_empty() {
        out.push(Want::Ask(Query::Enumerate));
    }
    super::quiesce::prove_each(unproven, Which::New, out);
    for credential in state.abandoned().iter().filter(|_| course::rolled(state)) {
        unit::offer(state, Op::DeleteAbandoned(credential.clone()), out);
    }
    if unlisted(state) {
        out.push(Want::Ask(Query::List));
    }
    if owes_sessions(state) {
        unit::offer(state, Op::EndSessions, out);
    }
    if state.residues().is_none() {
        out.push(Want::Ask(Query::Sweep));
    } else if out.is_empty()
        && state.abandoned().is_empty()
        && state.debt().is_none()
        && !owes_sessions(state)
        && !state.new.is_retired()
    {
        unit::offer(state, Op::Retire(Which::Old), out);
    }
}

/// The emergency was declared after the key had been seen dead: sessions are ended once more.
pub(crate) fn owes_sessions(state: &State) -> bool {
    let dead = state.old_key() == OldKey::Ended && state.debt().is_none();
    dead && state.emergency().is_some()
        && course::has_sessions(state)
        && state.ending.sessions_ended().is_none()
}

/// Consumers with running instances that have no evidence: memory does not show which version they use. None with a
/// debt: the old key works, and the old value is kept.
fn unproven(state: &State, look: &Look) -> Vec<ConsumerId> {
    let found = blockers(state, look, Which::New).into_iter();
    let who = found.filter_map(|blocker| match blocker {
        Blocker::Unproven(consumer, ..) if state.debt().is_none() => Some(consumer),
        Blocker::Unproven(..)
        | Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::File(..)
        | Blocker::Stale(..)
        | Blocker::Session(_)
        | Blocker::Absent(_)
        | Blocker::Unsearched(..) => None,
    });
    who.collect()
}

/// A look that is still missing when the phase is overdue needs the operator: a host is missing, or the store is not
/// ours.
fn late(next: &mut State) -> bool {
    if !deadlines::late(next) {
        return false;
    }
    next.stand(Hold::Paused(Reason::Overdue(Phase::Sweep)));
    true
}

fn listed(state: &State) -> bool {
    state.old.listed_since(state.position.entered())
}

/// The issuer goes on listing a key that was seen dead. A key that we did not end may only have been disabled, by another
/// party: it can be enabled again. Journals of protocol 3 and before took it for ended.
fn undead(state: &State) -> bool {
    let disabled = state.old.is_missing() && state.bounds_looks();
    listed(state)
        && state.old.list().is_some_and(|list| match list.old {
            ListedState::On => true,
            ListedState::Off => disabled,
            ListedState::Gone | ListedState::NotVisible => false,
        })
        && state.debt().is_none()
        && !state.exchanges()
}

/// A key that stays listed for longer than a list may lag has not ended: the rotation has a debt.
fn owed(next: &mut State) -> bool {
    let lag = next.plan().capabilities.list_ms_max();
    if !undead(next) || !next.old.list().is_some_and(|list| list.at.at_least(lag, next.position.since())) {
        return false;
    }
    if next.decided() {
        next.old.undo_end();
        next.ending.owe(Debt::NotRevoked);
    } else {
        next.ending.owe(Debt::NotDead);
    }
    true
}

/// No complete list came, or none after one that still had the old key.
fn unlisted(state: &State) -> bool {
    state.plan().capabilities.list && (!listed(state) || undead(state))
}

/// Nothing is being carried out, and no abandoned version must still be deleted.
fn quiet(state: &State) -> bool {
    state.intents().is_empty() && state.abandoned().is_empty()
}

pub(super) fn settle(next: &mut State) -> bool {
    // Once the old value is being dropped nothing can be compared with it: this is the last step.
    if next.intents().iter().any(|open| matches!(open.op, Op::Retire(_))) {
        return false;
    }
    if next.new.is_retired() && next.intents().is_empty() && next.residues().is_some() {
        next.enter(Phase::Done);
        return true;
    }
    if next.debt().is_none() && !course::rolled(next) {
        let to = course::first_unfinished(next);
        next.enter(to);
        return true;
    }
    let Some(look) = next.fresh_look(next.position.entered()) else { return late(next) };
    let blocked = blockers(next, look, Which::New);
    let open = !unproven(next, look).is_empty();
    let shown = !next.overdue(next.plan().policy.unit_ms_max);
    if super::quiesce::fallen_back(next, &blocked, !shown && open) {
        return true;
    }
    if open {
        return false;
    }
    if owed(next) {
        return true;
    }
    let (unlisted, over) = (unlisted(next), quiet(next) && deadlines::given_up(next));
    if over && unlisted {
        // It took as long as a phase may last: the rotation ends with a debt, and does not ask for ever. Journals of
        // protocol 3 and before asked on.
        if next.debt().is_none() {
            next.ending.owe(Debt::NotListed);
        }
        next.enter(Phase::Done);
        return true;
    }
    if over && next.residues().is_none() {
        next.stand(Hold::Paused(Reason::Overdue(Phase::Sweep)));
        return true;
    }
    // With a debt the old version stays sealed: a process may still need it.
    let kept = next.new.is_retired() || next.debt().is_some();
    if quiet(next) && !unlisted && next.residues().is_some() && kept {
        next.enter(Phase::Done);
        return true;
    }
    false
}
