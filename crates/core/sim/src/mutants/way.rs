//! Mutants of what an operator can do about a wait: of what is named, and of what it leads to.

use keyroll_rotation::{
    Awaited, ConsumerId, Event, Fact, Hold, Kinds, Next, Op, Phase, Query, Reason, State, Step, Until,
    Waived, Want, Way, Which, is_unmoved,
};

use crate::faults::Fault;
use crate::mutant::{Mutant, Mutation};

/// The rules about where the ways lead.
const LEADS: &[&str] = &["N1", "N4"];

fn resume_for_stuck(_: &State, way: &mut Way) {
    let named = way.forward.iter_mut().flat_map(|step| &mut step.then);
    named.filter(|next| **next == Next::Retry).for_each(|next| *next = Next::Resume);
}

/// What is stuck is to be resumed.
pub(super) const RESUME_FOR_STUCK: Mutant = Mutant {
    name: "resume for stuck",
    sentence: "P-191",
    ways: resume_for_stuck,
    rules: &["N2"],
    after: &[Fault::ForeignEdit, Fault::StrangeLabel],
    ..Mutant::NONE
};

fn abort_after_the_decision(state: &State, way: &mut Way) {
    if state.decided() {
        way.back.push(Step { first: None, then: vec![Next::Abort] });
    }
}

/// An abort is named after the point of no return.
pub(super) const ABORT_AFTER_THE_DECISION: Mutant = Mutant {
    name: "abort after the decision",
    sentence: "P-191",
    ways: abort_after_the_decision,
    rules: &["N2", "N3"],
    after: &[Fault::CrashBefore],
    ..Mutant::NONE
};

fn no_way_named(_: &State, way: &mut Way) {
    if way.until == Until::Person {
        way.forward.clear();
    }
}

/// A wait for the operator names nothing.
pub(super) const NO_WAY_NAMED: Mutant = Mutant {
    name: "no way named",
    sentence: "P-192",
    ways: no_way_named,
    rules: &["N3"],
    after: &[Fault::Pause],
    ..Mutant::NONE
};

fn waiver_unnamed(_: &State, way: &mut Way) {
    if let Awaited::Hold(Hold::Paused(Reason::Holder(_))) = way.what {
        way.forward = vec![Step { first: None, then: vec![Next::Resume] }];
    }
}

/// Beside an undeclared process neither its end, its adoption nor a waiver is named.
pub(super) const WAIVER_UNNAMED: Mutant = Mutant {
    name: "waiver unnamed",
    sentence: "P-193",
    ways: waiver_unnamed,
    rules: LEADS,
    after: &[Fault::HolderLegit],
    ..Mutant::NONE
};

fn accept_forgotten(_: &State, event: &mut Event) {
    if let Fact::Accepted(_) = event.fact {
        event.fact = Fact::Clock;
    }
}

/// A pending change that was accepted is refused again.
pub(super) const ACCEPT_FORGOTTEN: Mutant = Mutant {
    name: "accept forgotten",
    sentence: "P-193",
    event: accept_forgotten,
    rules: LEADS,
    after: &[Fault::Edit],
    ..Mutant::NONE
};

fn waiver_frees_nothing(_: &State, event: &mut Event) {
    if let Fact::Waived(Waived::Holder(_) | Waived::Copy(_)) = event.fact {
        event.fact = Fact::Clock;
    }
}

/// What was waived blocks as before.
pub(super) const WAIVER_FREES_NOTHING: Mutant = Mutant {
    name: "waiver frees nothing",
    sentence: "P-193",
    event: waiver_frees_nothing,
    rules: LEADS,
    after: &[Fault::HolderLegit],
    ..Mutant::NONE
};

fn label_kept(state: &State, event: &mut Event) {
    let held = matches!(state.hold(), Some(Hold::Stuck(Reason::UnknownLabel(_) | Reason::Unclear(_))));
    if held && event.fact == Fact::Retried {
        event.fact = Fact::Clock;
    }
}

/// The operator looked at the console, and the rotation stays where it was.
pub(super) const LABEL_KEPT: Mutant = Mutant {
    name: "label kept",
    sentence: "P-193",
    event: label_kept,
    rules: LEADS,
    after: &[Fault::StrangeLabel],
    ..Mutant::NONE
};

fn debt_is_final(state: &State, event: &mut Event) {
    if state.debt().is_some() && event.fact == Fact::Resumed {
        event.fact = Fact::Clock;
    }
}

/// A debt cannot be paid.
pub(super) const DEBT_IS_FINAL: Mutant = Mutant {
    name: "debt is final",
    sentence: "P-193",
    event: debt_is_final,
    rules: LEADS,
    after: &[Fault::DeleteNever, Fault::ListNeverWhole],
    ..Mutant::NONE
};

/// One of so many entries of a journal is heard, if it is a command that goes on.
const HEARD_EVERY: u64 = 8;

fn heard_rarely(state: &State, event: &mut Event) {
    let goes_on = matches!(event.fact, Fact::Resumed | Fact::Retried);
    if goes_on && state.hold().is_some() && !state.seq().is_multiple_of(HEARD_EVERY) {
        event.fact = Fact::Clock;
    }
}

/// The operator has to say again and again that the rotation goes on. In the end it does: N1 finds nothing.
pub(super) const HEARD_RARELY: Mutant = Mutant {
    name: "heard rarely",
    sentence: "P-193",
    event: heard_rarely,
    rules: &["N4"],
    after: &[Fault::Pause],
    ..Mutant::NONE
};

fn abort_goes_on(state: &State, event: &mut Event) {
    if state.hold().is_some() && event.fact == Fact::AbortAsked {
        event.fact = Fact::Resumed;
    }
}

/// An abort of a held rotation resumes it.
pub(super) const ABORT_GOES_ON: Mutant = Mutant {
    name: "abort goes on",
    sentence: "P-190",
    event: abort_goes_on,
    rules: LEADS,
    after: &[Fault::Pause],
    ..Mutant::NONE
};

/// The first consumer that the new version never reached, and of which an instance has shown nothing of the old one.
fn unproven(state: &State) -> Option<ConsumerId> {
    let look = state.look()?;
    let proven = |id: ConsumerId| {
        let mut there = look.seen.instances.iter().filter(|it| it.consumer == Some(id));
        there.all(|it| {
            let proof = state.proof(it.who).filter(|proof| proof.version == Which::Old);
            proof.is_some_and(|proof| proof.paths.first().is_some_and(|kinds| *kinds != Kinds::NONE))
        })
    };
    let all = (0u16..).zip(&state.plan().consumers).map(|(at, _)| ConsumerId(at));
    all.filter(|id| is_unmoved(state, id.index())).find(|id| !proven(*id))
}

fn asks_the_unmoved(state: &State, wanted: &mut Vec<Want>) {
    let deletes = Want::Do(Op::DeleteNew);
    if state.phase() != Phase::RollingBack || !wanted.contains(&deletes) {
        return;
    }
    if let Some(id) = unproven(state) {
        wanted.retain(|want| *want != deletes);
        wanted.push(Want::Ask(Query::Prove(id, None, Which::Old)));
    }
}

/// A rollback waits for the evidence of consumers that were never moved.
pub(super) const ROLLBACK_ASKS_THE_UNMOVED: Mutant = Mutant {
    name: "rollback asks the unmoved",
    sentence: "P-190",
    wants: asks_the_unmoved,
    rules: LEADS,
    after: &[Fault::IdleForever],
    ..Mutant::NONE
};

/// A consumer that was corrected is restarted as before.
pub(super) const CORRECTION_KEEPS_THE_COMMAND: Mutant = Mutant {
    name: "correction keeps the command",
    sentence: "P-193",
    mutation: Mutation::OldCommand,
    rules: LEADS,
    after: &[Fault::RestartNever],
    ..Mutant::NONE
};
