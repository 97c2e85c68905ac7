use crate::gate::blockers;
use crate::state::{Phase, State};
use crate::{Op, Query, Want, Which, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // An instance that came after the point of no return is found here at the latest, and rolled forward.
    if state.fresh_look(state.entered).is_none() {
        out.push(Want::Ask(Query::Enumerate));
    }
    for credential in state.abandoned.iter().filter(|_| super::rolled(state)) {
        unit::offer(state, Op::DeleteAbandoned(credential.clone()), out);
    }
    if state.plan.capabilities.list && !listed(state) {
        out.push(Want::Ask(Query::List));
    }
    if state.residues.is_none() {
        out.push(Want::Ask(Query::Sweep));
    } else if out.is_empty() && state.abandoned.is_empty() && state.debt.is_none() && !state.retired {
        unit::offer(state, Op::Retire(Which::Old), out);
    }
}

fn listed(state: &State) -> bool {
    state.listed.is_some_and(|(_, seq)| seq > state.entered)
}

pub(super) fn settle(next: &mut State) -> bool {
    // Once the old value is being dropped nothing can be compared with it any more: this was the last step.
    if next.intents.iter().any(|open| matches!(open.op, Op::Retire(_))) {
        return false;
    }
    if next.retired && next.intents.is_empty() && next.residues.is_some() {
        next.enter(Phase::Done);
        return true;
    }
    if next.debt.is_none() && !super::rolled(next) {
        let to = crate::people::first_unfinished(next);
        next.enter(to);
        return true;
    }
    let Some(look) = next.fresh_look(next.entered) else { return false };
    let blocked = blockers(next, look, Which::New);
    if super::quiesce::fallen_back(next, &blocked) {
        return true;
    }
    let listed = !next.plan.capabilities.list || listed(next);
    // With a debt the old version stays sealed: somebody may still need it.
    let kept = next.retired || next.debt.is_some();
    if next.intents.is_empty() && next.abandoned.is_empty() && listed && next.residues.is_some() && kept {
        next.enter(Phase::Done);
        return true;
    }
    false
}
