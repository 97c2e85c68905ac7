use crate::course::refusals_visible;
use crate::deadlines;
use crate::gate::{Blocker, blockers, digest, unsearched};
use crate::state::{Look, OldKey, Phase, State};
use crate::{MintedBy, Person, Query, Stamp, Want, Which, course};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    let Some(look) = state.fresh_look(state.position.entered()) else {
        out.push(Want::Ask(Query::Enumerate));
        return;
    };
    if !open(state, look) {
        return;
    }
    if unlisted(state) {
        out.push(Want::Ask(Query::List));
        if listens(state) {
            out.push(Want::Ask(Query::Refusals));
        }
        return;
    }
    if unheard(state, look) {
        out.push(Want::Ask(Query::Refusals));
        return;
    }
    let digest = digest(state, look);
    // An operator may take days: only what follows from the answer rests on a young look.
    let young = state.young_look(state.position.entered()).is_some();
    let decide = if young { Want::Decide(digest) } else { Want::Ask(Query::Enumerate) };
    // A driver begins nothing that ends the old key before this is answered.
    for endpoint in course::unseen_new(state, state.position.entered()) {
        out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
    }
    if standing(state) {
        let counted = unsearched(state, look);
        if counted.is_empty() {
            out.push(decide);
            return;
        }
        // Nobody consented to that beforehand. The operator is asked when more looks may show no more.
        if !counted.values().any(|limit| deadlines::unsearched_for_long(state, *limit)) {
            out.push(Want::Ask(Query::Enumerate));
            return;
        }
    }
    match state.decisions.consent() {
        Some(given)
            if given.digest == digest && look.seq > given.seq && !was_under_way(state, look, given.at) =>
        {
            out.push(decide);
        }
        Some(given) if given.digest == digest => out.push(Want::Ask(Query::Enumerate)),
        Some(_) | None => {
            out.push(Want::Person(Person::Consent(digest)));
            if listens(state) {
                // While the operator decides, the driver reads refused uses of the old key.
                out.push(Want::Ask(Query::Refusals));
            }
        }
    }
}

/// A look shows what was there when it began: one that was under way when the operator consented, or when a Revoke failed,
/// is not the one after that.
pub(super) fn was_under_way(state: &State, look: &Look, then: Stamp) -> bool {
    // One of another driver began later in any case.
    let of_same = look.at.since(then).is_some();
    state.is_since(18) && of_same && look.at.before(look.seen.took_ms).since(then).is_none()
}

/// The old key is disabled, and refused uses of it are visible.
fn listens(state: &State) -> bool {
    matches!(state.old_key(), OldKey::Off(_)) && refusals_visible(state)
}

/// Whether the keys must still be listed: an unknown label must hold the rotation before the point of no return, not
/// after it. A complete list, and a second one after a list that misses the old key, are waited for as long as a phase
/// may last. With the old key disabled, none is waited for from an issuer that gave none while that was waited for before.
fn unlisted(state: &State) -> bool {
    if matches!(state.old_key(), OldKey::Off(_)) && state.old.list().is_none() && state.is_since(13) {
        return false;
    }
    let listed = state
        .old
        .list()
        .is_some_and(|list| list.seq > state.position.entered() && list.at.epoch == state.now().epoch);
    let doubted = state.old.is_missing();
    state.plan().capabilities.list && (!listed || doubted) && !state.overdue(state.plan().policy.phase_ms_max)
}

/// Whether refused uses must still be read. While the old key is disabled they are read before the operator is asked,
/// and once more before the point of no return: the wait for a consent may be much longer than the soak.
fn unheard(state: &State, look: &Look) -> bool {
    listens(state) && !state.uses.refusals_read_after(1, look.at)
}

/// A standing consent counts only with zero waivers and an overlap, and where the memory of every process was searched.
fn standing(state: &State) -> bool {
    state.plan().policy.standing_consent && state.waived().is_empty() && !state.exchanges()
}

/// The gate. Where minting itself ends the old value there is nothing to prove yet, but no holder may be undeclared.
fn open(state: &State, look: &Look) -> bool {
    if state.exchanges() {
        first_undeclared(state, look).is_none()
    } else {
        blockers(state, look, Which::New).is_empty()
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.decided() {
        let minted = next.new_version().is_some();
        next.enter(if next.exchanges() && !minted { Phase::Mint } else { Phase::Revoke });
        return true;
    }
    if next.old_key() == OldKey::Ended {
        let minted = next.new_version().is_some() || !next.aim().makes_new();
        next.enter(if minted { course::after_end(next) } else { Phase::Mint });
        return true;
    }
    if next.exchanges() && next.plan().capabilities.minted_by == MintedBy::Us && next.chosen().is_none() {
        next.enter(Phase::Mint);
        return true;
    }
    let look = next.fresh_look(next.position.entered());
    let blind = look.is_none() && next.overdue(next.plan().policy.phase_ms_max);
    if blind && next.exchanges() {
        next.stand(crate::Hold::Paused(crate::Reason::Overdue(Phase::Decide)));
        return true;
    }
    if unheeded(next) {
        next.decisions.drop_consent();
        next.stand(crate::Hold::Paused(crate::Reason::Overdue(Phase::Decide)));
        return true;
    }
    // No look is possible, or the gate is shut: the old key does not stay disabled meanwhile.
    if blind || look.is_some_and(|look| !open(next, look)) {
        next.decisions.drop_consent();
        if next.exchanges() {
            let reason =
                next.fresh_look(next.position.entered()).and_then(|look| first_undeclared(next, look));
            if let Some(reason) = reason {
                next.stand(crate::Hold::Paused(reason));
                return true;
            }
            return false;
        }
        next.enter(Phase::Quiesce);
        return true;
    }
    let moved = next.fresh_look(next.position.entered()).map(|look| digest(next, look));
    if let (Some(given), Some(now)) = (next.decisions.consent(), moved)
        && given.digest != now
    {
        // The set of instances changed: the consent was for another set.
        next.decisions.outdate_consent();
        return true;
    }
    false
}

/// After the last look or the consent no answer came for as long as a phase may last: the old key does not stay disabled.
fn unheeded(state: &State) -> bool {
    if !deadlines::given_up(state) || state.fresh_look(state.position.entered()).is_none() {
        return false;
    }
    let mut wanted = Vec::new();
    wants(state, &mut wanted);
    let unseen = wanted.iter().any(|want| matches!(want, Want::Ask(Query::Probe(_, Which::New))));
    wanted.iter().all(|want| match want {
        Want::Ask(Query::Enumerate | Query::Refusals | Query::Probe(_, Which::New)) => true,
        Want::Decide(_) => unseen,
        Want::Ask(_) | Want::Do(_) | Want::Wait(_) | Want::Person(_) => false,
    })
}

fn first_undeclared(state: &State, look: &Look) -> Option<crate::Reason> {
    blockers(state, look, Which::New).into_iter().find_map(|blocker| match blocker {
        Blocker::Holder(who) => Some(crate::Reason::Holder(who)),
        Blocker::Stranger(place) => Some(crate::Reason::Stranger(place)),
        Blocker::Unsearched(who, _) => Some(crate::Reason::Unsearched(who)),
        Blocker::File(..)
        | Blocker::Unproven(..)
        | Blocker::Stale(..)
        | Blocker::Session(_)
        | Blocker::Absent(_) => None,
    })
}
