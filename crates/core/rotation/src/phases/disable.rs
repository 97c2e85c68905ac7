use crate::deadlines;
use crate::gate::blockers;
use crate::state::{Hold, OldKey, Phase, Reason, State};
use crate::{Op, Query, Want, Which, course, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if state.attempts.exhausted() {
        // Disabling failed, perhaps because another party ended the key.
        for endpoint in course::not_yet(state, state.answers.dead(), state.plan().policy.probes_dead) {
            out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
        }
        return;
    }
    let open =
        state.young_look(state.position.entered()).map(|look| blockers(state, look, Which::New).is_empty());
    match open {
        Some(true) => {
            // A driver begins nothing that ends the old key before this is answered.
            for endpoint in course::unseen_new(state, state.position.entered()) {
                out.push(Want::Ask(Query::Probe(endpoint, Which::New)));
            }
            if lacks_list(state) {
                out.push(Want::Ask(Query::List));
            } else {
                unit::offer(state, Op::Disable, out);
            }
        }
        Some(false) => {}
        None => out.push(Want::Ask(Query::Enumerate)),
    }
}

/// Before the point of no return a complete list is waited for, as long as a phase may last. Where the issuer gave none so far,
/// that is while the old key still works: an issuer that never gives one is not waited for with the key disabled.
fn lacks_list(state: &State) -> bool {
    let unlisted = state.plan().capabilities.list && state.old.list().is_none();
    unlisted && state.is_since(13) && !state.overdue(state.plan().policy.phase_ms_max)
}

pub(super) fn settle(next: &mut State) -> bool {
    match next.old_key() {
        OldKey::Off(_) => {
            next.enter(Phase::Soak);
            return true;
        }
        OldKey::Ended => {
            next.enter(course::after_end(next));
            return true;
        }
        OldKey::On => {}
    }
    if next.attempts.exhausted() {
        return doubted(next);
    }
    let blocked = next
        .fresh_look(next.position.entered())
        .is_some_and(|look| !blockers(next, look, Which::New).is_empty());
    let after = next.position.entered();
    let look = if next.bounds_looks() { next.young_look(after) } else { next.fresh_look(after) };
    let blind = look.is_none() && deadlines::late(next);
    let running = next.running(&Op::Disable);
    if !blocked
        && !running
        && deadlines::given_up(next)
        && !course::unseen_new(next, next.position.entered()).is_empty()
    {
        next.stand(Hold::Paused(Reason::Overdue(Phase::Disable)));
        return true;
    }
    if (blocked || blind) && !running {
        next.enter(Phase::Quiesce);
        return true;
    }
    false
}

/// Disabling failed for good: the key has ended, or the operator is needed.
fn doubted(next: &mut State) -> bool {
    let policy = &next.plan().policy;
    let dead = course::not_yet(next, next.answers.dead(), policy.probes_dead).is_empty();
    let alive = next.answers.alive().iter().any(|streak| streak.count > 0);
    if next.off_in_doubt() {
        // One Disable may have had its effect; the pause enables the key.
        next.stand(Hold::Paused(Reason::Failed(Phase::Disable)));
    } else if dead {
        next.end_old(false);
        next.enter(course::after_end(next));
    } else if alive || deadlines::late(next) {
        next.stand(Hold::Paused(Reason::Failed(Phase::Disable)));
    } else {
        return false;
    }
    true
}
