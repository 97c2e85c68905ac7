use crate::state::{IntentStatus, OldKey, Phase, State};
use crate::{MintedBy, Op, Person, Want, course, unit};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    // While an old sealed value is being dropped, a newly sealed one could not be distinguished from it.
    if course::dropping(state) {
        return;
    }
    // A mint that exchanges is never retried: the operator makes the value at the console.
    if state.exchanges() && state.minting.is_by_hand() {
        out.push(Want::Person(Person::MintByHand));
        return;
    }
    match state.plan().capabilities.minted_by {
        // A running deletion may be of the very id that this mint gets, and drops what is sealed under that id.
        MintedBy::Us | MintedBy::Api if deleting(state) => {}
        MintedBy::Us if state.chosen().is_none() => unit::offer(state, Op::Choose, out),
        MintedBy::Us | MintedBy::Api => unit::offer(state, Op::Mint, out),
        MintedBy::Human => out.push(Want::Person(Person::MintByHand)),
    }
}

fn deleting(state: &State) -> bool {
    let deletes = |op: &Op| matches!(op, Op::DeleteNew | Op::DeleteOrphan(_) | Op::DeleteAbandoned(_));
    state.intents().iter().any(|open| deletes(&open.op) && open.status == IntentStatus::Running)
}

/// Whether an earlier version, which did not wait for deletions, wanted to choose the next value.
pub(crate) fn was_chosen_at_once(state: &State) -> bool {
    let ours = state.plan().capabilities.minted_by == MintedBy::Us && state.chosen().is_none();
    state.phase() == Phase::Mint && ours && !course::dropping(state) && !state.running(&Op::Choose)
}

pub(super) fn settle(next: &mut State) -> bool {
    if next.new_version().is_some() {
        next.enter(Phase::Stage);
        return true;
    }
    // The look behind the decision is too old by now, and nothing was sent: it is decided anew, on a new one.
    let minting = next.intents().iter().any(|open| open.op == Op::Mint);
    if course::mint_ends_old(next) && !minting && next.lacks_young_look() {
        next.decisions.undecide();
        next.enter(Phase::Decide);
        return true;
    }
    // Where minting exchanges, the mint is the point of no return: a value that we choose is sealed before it.
    let undecided = !next.decided() && next.old_key() != OldKey::Ended && next.emergency().is_none();
    if next.exchanges() && undecided && next.chosen().is_some() {
        next.enter(Phase::Decide);
        return true;
    }
    false
}
