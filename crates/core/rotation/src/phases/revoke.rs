use crate::course::rolled;
use crate::deadlines;
use crate::gate::blockers;
use crate::phases::decide::was_under_way;
use crate::state::{Hold, OldKey, Phase, Reason, State};
use crate::{Emergency, Op, Person, Query, Want, Which, course, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if state.old_key() == OldKey::Ended {
        after(state, out);
        return;
    }
    if needs_look(state) {
        out.push(Want::Ask(Query::Enumerate));
        return;
    }
    // A driver begins nothing that ends the old key before this is answered.
    for endpoint in course::unseen_new(state, looked_after(state)) {
        out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
    }
    if state.plan().bound {
        unit::offer(state, Op::Revoke, out);
    } else {
        out.push(Want::Person(Person::RevokeByHand));
    }
}

/// *Revoke now* waits for no outcome, except that of an earlier Revoke.
pub(crate) fn wants_at_once(state: &State, out: &mut Vec<Want>) {
    let urgent = state.phase() == Phase::Revoke && state.emergency() == Some(Emergency::RevokeNow);
    let sent = state.intents().iter().any(|open| open.op == Op::Revoke);
    if urgent && !sent && state.old_key() != OldKey::Ended {
        wants(state, out);
    }
}

/// Whether Revoke needs one more enumeration: one in this phase, unless this driver has just passed the point of no
/// return, and a young one in any case. A new driver, a retried debt, a late instance that was rolled forward, and a
/// Revoke that failed need a new one. An emergency that revokes first does without. An operator who revokes at the
/// console takes their time.
fn needs_look(state: &State) -> bool {
    if state.emergency() == Some(Emergency::RevokeNow) {
        return false;
    }
    if is_straight(state) && !state.bounds_looks() {
        return false;
    }
    let after = looked_after(state);
    let look = if state.plan().bound { state.young_look(after) } else { state.fresh_look(after) };
    // Evidence may have been lost since that look.
    look.is_none_or(|look| {
        let lost = state.bounds_looks() && !blockers(state, look, Which::New).is_empty();
        lost || state.ending.revoke_failed_at().is_some_and(|failed| was_under_way(state, look, failed))
    })
}

/// This driver has just passed the point of no return.
fn is_straight(state: &State) -> bool {
    state.decisions.decided_at() == Some(state.position.since())
        && state.ending.revoke_failed() < state.position.entered()
}

/// The entry after which a look counts.
fn looked_after(state: &State) -> crate::Seq {
    if is_straight(state) { 0 } else { state.position.entered().max(state.ending.revoke_failed()) }
}

/// After the key has ended: end its sessions and delete abandoned versions.
fn after(state: &State, out: &mut Vec<Want>) {
    if outage(state) {
        // Sessions on the leaked key are ended before any consumer is moved.
        if course::has_sessions(state) && ended_sessions(state).is_none() {
            unit::offer(state, Op::EndSessions, out);
        }
        return;
    }
    if state.new_version().is_some() && !state.abandoned().is_empty() {
        for credential in state.abandoned() {
            unit::offer(state, Op::DeleteAbandoned(credential.clone()), out);
        }
        return;
    }
    if !course::has_sessions(state) {
        return;
    }
    match ended_sessions(state) {
        None => unit::offer(state, Op::EndSessions, out),
        Some(seq) if state.fresh_look(seq).is_none() => out.push(Want::Ask(Query::Enumerate)),
        Some(_) if sessions_left(state) => {
            unit::offer(state, Op::EndSessions, out);
            out.push(Want::Ask(Query::Enumerate));
        }
        Some(_) => {}
    }
}

/// The old key was ended before every consumer was moved, as the outage statement said.
fn outage(state: &State) -> bool {
    state.emergency() == Some(Emergency::RevokeNow) && !(state.new_version().is_some() && rolled(state))
}

/// The entry that ended sessions in this phase. Others may have begun since an earlier phase ended sessions.
fn ended_sessions(state: &State) -> Option<crate::Seq> {
    state.ending.sessions_ended().filter(|seq| *seq > state.position.entered())
}

fn sessions_left(state: &State) -> bool {
    let busy_waived = state.is_waived(&crate::Waived::BusySessions);
    let sessions = state.look().and_then(|look| look.seen.sessions.as_ref());
    sessions.is_some_and(|left| left.iter().any(|session| !(session.busy && busy_waived)))
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.old_key() != OldKey::Ended {
        let blocked = needs_gate(next)
            && next
                .fresh_look(next.position.entered())
                .is_some_and(|look| !blockers(next, look, Which::New).is_empty());
        if blocked && !next.running(&Op::Revoke) {
            // A late instance is rolled forward; Revoke waits for it.
            next.enter(Phase::Quiesce);
            return true;
        }
        let unseen = needs_look(next) || !course::unseen_new(next, looked_after(next)).is_empty();
        let blind = deadlines::given_up(next) && unseen && !next.running(&Op::Revoke);
        if blind {
            next.stand(Hold::Paused(Reason::Overdue(Phase::Revoke)));
        }
        return blind;
    }
    let mut left = Vec::new();
    after(next, &mut left);
    let ending =
        next.intents().iter().any(|open| matches!(open.op, Op::EndSessions | Op::DeleteAbandoned(_)));
    let patience = deadlines::late(next);
    if (left.is_empty() && !ending) || patience {
        // After an announced outage the remaining phases follow, forward only.
        let to = if outage(next) { course::first_unfinished(next) } else { Phase::ConfirmDead };
        next.enter(to);
        return true;
    }
    false
}

fn needs_gate(state: &State) -> bool {
    state.emergency() != Some(Emergency::RevokeNow)
}
