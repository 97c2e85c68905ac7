use crate::gate::blockers;
use crate::intent::ATTEMPTS_MAX;
use crate::state::{Hold, OldKey, Phase, Reason, State};
use crate::{Op, Query, Want, Which, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    if state.failures >= ATTEMPTS_MAX {
        // It cannot be switched off: perhaps because somebody ended it.
        for endpoint in super::not_yet(state, &state.dead, state.plan.policy.probes_dead) {
            out.push(Want::Ask(Query::Probe(endpoint, Which::Old)));
        }
        return;
    }
    let open = state.fresh_look(state.entered).map(|look| blockers(state, look, Which::New).is_empty());
    match open {
        Some(true) => unit::offer(state, Op::Disable, out),
        Some(false) => {}
        None => out.push(Want::Ask(Query::Enumerate)),
    }
}

pub(super) fn settle(next: &mut State) -> bool {
    match next.old {
        OldKey::Off(_) => {
            next.enter(Phase::Soak);
            return true;
        }
        OldKey::Ended => {
            next.enter(super::after_end(next));
            return true;
        }
        OldKey::On => {}
    }
    if next.failures >= ATTEMPTS_MAX {
        return doubted(next);
    }
    let blocked =
        next.fresh_look(next.entered).is_some_and(|look| !blockers(next, look, Which::New).is_empty());
    let blind = next.fresh_look(next.entered).is_none() && next.overdue(next.plan.policy.phase_ms_max);
    if (blocked || blind) && !next.running(&Op::Disable) {
        next.enter(Phase::Quiesce);
        return true;
    }
    false
}

/// The switch failed for good: either the key is gone, or a person is needed.
fn doubted(next: &mut State) -> bool {
    let policy = &next.plan.policy;
    let dead = super::not_yet(next, &next.dead, policy.probes_dead).is_empty();
    let alive = next.alive.iter().any(|streak| streak.count > 0);
    if next.off_in_doubt {
        // One of ours may have got through: it is taken back while a person looks.
        next.failures = 0;
        next.stand(Hold::Paused(Reason::Failed(Phase::Disable)));
    } else if dead {
        next.end_old(false);
        next.enter(super::after_end(next));
    } else if alive || next.overdue(policy.phase_ms_max) {
        next.failures = 0;
        next.stand(Hold::Paused(Reason::Failed(Phase::Disable)));
    } else {
        return false;
    }
    true
}
