//! Which of the ways that the core names are ways here: it knows no name, no store of this machine, and no other rotation.

use keyroll_rotation::{Adoptee, Incarnation, Next, Outside, State, Step, Waived};

use crate::records::missing_proof::runs_here;
use crate::records::plan_names::Called;
use crate::records::store_process::above_this;

/// Leaves out what no command can name here, and what would be wrong: the store of the secret and what keeps logs are not moved, and what another
/// rotation moves is not adopted. Another rotation comes last.
pub fn fitted(called: &Called, state: &State, steps: Vec<Step>) -> Vec<Step> {
    let steps = read_again(called, steps);
    let mut all: Vec<Step> = steps.into_iter().filter_map(|step| fit(called, state, step)).collect();
    all.sort_by_key(|step| matches!(step.then.last(), Some(Next::Declare(_))));
    all
}

/// A file that can be read by now needs nothing but that the rotation reads it again, once no other one is in its way.
fn read_again(called: &Called, mut steps: Vec<Step>) -> Vec<Step> {
    let let_read =
        |step: &Step| if let Some(Outside::LetRead(file)) = step.first { Some(file) } else { None };
    let is_done = |step: &Step| let_read(step).is_some_and(|file| called.can_read(file));
    if steps.iter().any(|step| let_read(step).is_some() && !is_done(step)) {
        steps.retain(|step| !is_done(step));
        return steps;
    }
    for step in steps.iter_mut().filter(|step| is_done(step)) {
        step.first = None;
    }
    steps.dedup();
    steps
}

fn fit(called: &Called, state: &State, step: Step) -> Option<Step> {
    if let Some(Outside::EndProcess(who)) = step.first
        && is_kept(called, who)
    {
        return None;
    }
    match step.then.first().copied() {
        Some(Next::Adopt(Adoptee::Holder(who))) => adopted(called, state, who, step),
        Some(Next::Waive(Waived::Holder(who))) => is_named(called, who).then_some(step),
        // Refused while a process of it runs.
        Some(Next::Waive(Waived::Gone(consumer))) => (!runs_here(state, consumer)).then_some(step),
        Some(Next::Waive(Waived::Host(host))) => called.host(host).is_some().then_some(step),
        Some(Next::Correct(consumer)) => (!called.is_in_cluster(consumer)).then_some(step),
        Some(
            Next::Resume
            | Next::Retry
            | Next::Confirm
            | Next::Abort
            | Next::Accept
            | Next::Waive(_)
            | Next::Adopt(Adoptee::Copy(_))
            | Next::Declare(_)
            | Next::HandMint
            | Next::HandRevoked
            | Next::AnotherKey
            | Next::PayDebt,
        )
        | None => Some(step),
    }
}

/// The adoption of a process. On a host that the plan left out, it is one of another rotation.
fn adopted(called: &Called, state: &State, who: Incarnation, step: Step) -> Option<Step> {
    if called.apart().is_some() || called.is_unseen(who) {
        return None;
    }
    let Some(host) = called.host(who.host) else {
        let is_free = who.pid().is_some_and(|pid| !called.stays(pid) && !above_this(pid));
        return is_free.then_some(step);
    };
    if called.left_out(&host).is_none() {
        return Some(step);
    }
    let anew = Step { first: None, then: vec![Next::Abort, Next::Declare(Adoptee::Holder(who))] };
    Next::Abort.is_possible(state).then_some(anew)
}

/// The store of the secret, or what keeps the logs of this machine.
fn is_kept(called: &Called, who: Incarnation) -> bool {
    let here = who.pid().filter(|_| called.host(who.host).is_none());
    here.is_some_and(|pid| called.stays(pid))
}

/// Whether a command can name it: a container that no inspection described has no name, and here a number of another PID namespace
/// is none.
fn is_named(called: &Called, who: Incarnation) -> bool {
    called.elsewhere(who).is_some() || (who.pid().is_some() && !called.is_unseen(who))
}
