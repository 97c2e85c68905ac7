//! Files that were accepted as they stand: they are neither written nor restored, and what they hold blocks nothing. The processes
//! still have to prove what they use.

use keyroll_rotation::{
    Blocker, ConsumerId, Event, Fact, FileId, Hold, Holds, HostId, Kinds, Next, Op, Outcome, Outside, Phase,
    Proof, Query, Reason, Reconciled, State, Step, UnitStep, Visibility, Waived, Want, Which, blockers, step,
    wants, way,
};

use crate::gone::{as_far_as, calm, done, may_be_said, two};
use crate::walk::{Walk, proof, who_of};

const FIRST: ConsumerId = ConsumerId(0);
const FILE: FileId = FileId(0);

fn accept(walk: &mut Walk, file: FileId) {
    walk.say(Fact::Waived(Waived::File(file)));
}

fn writes(op: &Op) -> bool {
    matches!(op, Op::Deliver(FILE, _))
}

fn begun(walk: &Walk, from: usize, is_it: impl Fn(&Op) -> bool) -> bool {
    walk.said[from..].iter().any(|event| matches!(&event.fact, Fact::Intended(op) if is_it(op)))
}

/// A write of this file meets another party's edit.
fn meet_an_edit(walk: &mut Walk, write: &Op) {
    walk.until(|state| wants(state).contains(&Want::Do(write.clone())));
    let intent = walk.begin(write);
    walk.end(intent, Outcome::Unknown);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Foreign });
}

#[test]
fn a_rotation_that_is_stuck_at_an_edit_goes_on_to_the_restart() {
    let mut walk = Walk::of(two());
    meet_an_edit(&mut walk, &Op::Deliver(FILE, Which::New));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Foreign(FILE))));
    let from = walk.said.len();
    accept(&mut walk, FILE);
    assert_eq!((walk.state.hold(), walk.state.units()[0].stage), (None, UnitStep::Applying(0)));
    assert_eq!(walk.state.accepted_files(), [FILE]);
    walk.until(|state| state.phase() == Phase::Done);
    assert!(!begun(&walk, from, writes));
    assert!(begun(&walk, from, |op| *op == Op::Apply(FIRST, 0, Which::New)), "its process is still moved");
    assert_eq!(walk.state.files()[0], Holds::Other);
}

#[test]
fn a_rotation_that_is_paused_at_a_file_that_cannot_be_read_goes_on() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let mut seen = walk.look();
    seen.files[0] = (FILE, Holds::Unreadable);
    walk.say(Fact::Enumerated(seen));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unreadable(FILE))));
    let mut other = walk.clone();
    accept(&mut other, FileId(1));
    assert_eq!(other.state.hold(), Some(Hold::Paused(Reason::Unreadable(FILE))));
    accept(&mut walk, FILE);
    assert_eq!(walk.state.hold(), None);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn a_rollback_that_is_stuck_at_an_edit_goes_on_and_restarts_the_process() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    meet_an_edit(&mut walk, &Op::Deliver(FILE, Which::Old));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Foreign(FILE))));
    let from = walk.said.len();
    accept(&mut walk, FILE);
    assert_eq!(walk.state.hold(), None);
    walk.until(|state| state.ended() || state.hold().is_some());
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RolledBack, None));
    assert!(!begun(&walk, from, writes));
    assert!(begun(&walk, from, |op| *op == Op::Apply(FIRST, 0, Which::Old)));
}

#[test]
fn a_file_may_be_accepted_before_the_other_consumers_are_restored() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    meet_an_edit(&mut walk, &Op::Deliver(FileId(1), Which::Old));
    assert_eq!((walk.state.hold(), walk.state.units()[1].stage), (None, UnitStep::Failed));
    let from = walk.said.len();
    accept(&mut walk, FileId(1));
    walk.until(|state| state.ended() || state.hold().is_some());
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RolledBack, None));
    assert!(begun(&walk, from, |op| *op == Op::Apply(ConsumerId(1), 0, Which::Old)));
}

#[test]
fn a_file_that_was_accepted_is_not_what_a_rollback_is_stuck_at() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    meet_an_edit(&mut walk, &Op::Deliver(FILE, Which::Old));
    accept(&mut walk, FILE);
    let restart = Op::Apply(FIRST, 0, Which::Old);
    walk.until(|state| wants(state).contains(&Want::Do(restart.clone())));
    let intent = walk.begin(&restart);
    walk.end(intent, Outcome::Failed { retry: false });
    walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: false });
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(FIRST))));
}

/// Answers everything that is wanted now. The first consumer uses what its file holds.
fn go_on_with(walk: &mut Walk, held: Which) {
    walk.each_wanted(|walk, want| match want {
        Want::Do(op) => {
            let intent = walk.begin(&op);
            walk.end(intent, done(&op));
        }
        Want::Ask(Query::Enumerate) => {
            let mut seen = walk.look();
            seen.files[0] = (FILE, Holds::of(held));
            let sight = |which| if which == held { Visibility::Yes } else { Visibility::No };
            (seen.instances[0].old, seen.instances[0].new) = (sight(Which::Old), sight(Which::New));
            walk.say(Fact::Enumerated(seen));
        }
        Want::Ask(Query::Prove(FIRST, ..)) => {
            let proofs = vec![proof(FIRST, held)];
            walk.say(Fact::Proved { consumer: FIRST, proofs, trouble: false });
        }
        Want::Ask(query) => {
            let seen = walk.see(&query);
            walk.say(seen);
        }
        Want::Wait(ms) => walk.wait(ms),
        Want::Decide(_) | Want::Person(_) => unreachable!("a rollback asks nobody"),
    });
}

fn until_with(walk: &mut Walk, held: Which) {
    for _ in 0..2_000 {
        if walk.state.ended() || walk.state.hold().is_some() {
            return;
        }
        go_on_with(walk, held);
        if !walk.state.ended() {
            walk.wait(500);
        }
    }
    panic!("{:?} wants {:?}", walk.state.phase(), wants(&walk.state));
}

/// Its file system was read-only. A restart, a correction and a waiver were named, and each was in vain.
#[test]
fn a_file_that_keeps_the_new_key_in_a_rollback_is_put_back_by_hand() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let write = Op::Deliver(FILE, Which::Old);
    walk.until(|state| wants(state).contains(&Want::Do(write.clone())));
    let intent = walk.begin(&write);
    walk.end(intent, Outcome::Failed { retry: false });
    walk.until(|state| state.hold().is_some());
    let from = walk.said.len();
    accept(&mut walk, FILE);
    walk.say(Fact::Retried);
    until_with(&mut walk, Which::New);
    assert_eq!((walk.state.phase(), walk.state.files()[0]), (Phase::RollingBack, Holds::New));
    let by_hand = Step { first: Some(Outside::MendFile(FILE)), then: vec![Next::Retry] };
    // This walk has no process that runs: a consumer that is gone needs no file.
    let gone = Step { first: None, then: vec![Next::Waive(Waived::Gone(ConsumerId(0))), Next::Resume] };
    assert_eq!(way(&walk.state).unwrap().forward, [by_hand, gone]);
    walk.another_driver();
    walk.say(Fact::Retried);
    until_with(&mut walk, Which::Old);
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RolledBack, None));
    assert!(!begun(&walk, from, writes));
}

#[test]
fn whenever_a_file_is_accepted_it_is_written_no_more_and_the_rotation_ends() {
    for (was_back, aborts) in [(false, false), (false, true), (true, false)] {
        let calm = calm(two(), was_back);
        for events in 1..calm.said.len() {
            let mut walk = as_far_as(&calm, events);
            accept(&mut walk, FILE);
            let open: Vec<_> = walk.state.intents().iter().map(|open| (open.seq, open.op.clone())).collect();
            for (seq, op) in open {
                let failed = Outcome::Failed { retry: false };
                walk.end(seq, if writes(&op) { failed } else { done(&op) });
            }
            let aborted = aborts && may_be_said(&walk, Fact::AbortAsked);
            if aborted {
                walk.say(Fact::AbortAsked);
            }
            let back = matches!(walk.state.phase(), Phase::RollingBack | Phase::RolledBack);
            let from = walk.said.len();
            walk.until(|state| state.ended() || state.hold().is_some());
            let end = if aborted || back { Phase::RolledBack } else { Phase::Done };
            assert_eq!((walk.state.phase(), walk.state.hold()), (end, None), "after {events} events");
            assert!(!begun(&walk, from, writes), "after {events} events");
        }
    }
}

/// What a look with this content of the file leads to in Quiesce, and what blocks.
fn seen_in_quiesce(accepts: bool, holds: Option<Holds>) -> (Phase, Vec<Blocker>) {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    if accepts {
        accept(&mut walk, FILE);
    }
    let mut seen = walk.look();
    seen.files.retain(|(file, _)| *file != FILE);
    seen.files.extend(holds.map(|holds| (FILE, holds)));
    walk.say(Fact::Enumerated(seen));
    let blocked = blockers(&walk.state, walk.state.look().unwrap(), Which::New);
    (walk.state.phase(), blocked)
}

#[test]
fn what_an_accepted_file_holds_blocks_nothing() {
    for holds in [Some(Holds::Old), Some(Holds::Other), Some(Holds::Unreadable), None] {
        let (phase, blocked) = seen_in_quiesce(false, holds);
        assert_ne!(phase, Phase::Disable, "{holds:?}");
        assert_eq!(blocked, [Blocker::File(FILE, holds.unwrap_or(Holds::Unreadable))]);
        assert_eq!(seen_in_quiesce(true, holds), (Phase::Disable, vec![]), "{holds:?}");
    }
}

#[test]
fn a_process_that_uses_the_old_key_blocks_although_its_file_was_accepted() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    accept(&mut walk, FILE);
    let mut seen = walk.look();
    seen.files[0] = (FILE, Holds::Old);
    let late = who_of(FIRST, 7);
    (seen.instances[0].who, seen.instances[0].old, seen.instances[0].new) =
        (late, Visibility::Yes, Visibility::No);
    walk.say(Fact::Enumerated(seen));
    let blocked = blockers(&walk.state, walk.state.look().unwrap(), Which::New);
    assert_eq!(blocked, [Blocker::Stale(FIRST, late, 0)]);
    assert_eq!(walk.state.phase(), Phase::Roll);
    walk.until(|state| state.phase() == Phase::Done);
}

/// Whether a consumer is proven that shows these kinds, where the policy requires others besides.
fn is_proven(require: Kinds, shown: Kinds, accepted: Option<FileId>) -> bool {
    let mut plan = two();
    plan.policy.require = require;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].stage == UnitStep::Proving(0));
    if let Some(file) = accepted {
        accept(&mut walk, file);
    }
    let mut shows = proof(FIRST, Which::New);
    shows.paths[0] = shown;
    let proofs: Vec<Proof> = vec![shows];
    walk.say(Fact::Proved { consumer: FIRST, proofs, trouble: false });
    walk.state.units()[0].stage == UnitStep::Settled
}

#[test]
fn evidence_about_a_file_is_waived_with_it_and_no_other_evidence() {
    let of_files = Kinds::DELIVERED.and(Kinds::READ);
    let works = Kinds::LOADED.and(Kinds::CHECKED);
    assert!(is_proven(of_files, works.and(of_files), None));
    assert!(!is_proven(of_files, works, None) && is_proven(of_files, works, Some(FILE)));
    assert!(!is_proven(of_files, works, Some(FileId(1))), "another file");
    assert!(!is_proven(of_files.and(Kinds::REPORTED), works, Some(FILE)));
    assert!(!is_proven(of_files, Kinds::LOADED, Some(FILE)), "it does not work with it");
}

#[test]
fn a_write_that_is_under_way_is_waited_for_and_holds_nothing_up() {
    for outcome in [Outcome::Failed { retry: false }, Outcome::Done(None), Outcome::Unknown] {
        let mut walk = Walk::of(two());
        let write = Op::Deliver(FILE, Which::New);
        walk.until(|state| wants(state).contains(&Want::Do(write.clone())));
        let intent = walk.begin(&write);
        accept(&mut walk, FILE);
        assert_eq!(walk.state.units()[0].stage, UnitStep::Delivering, "its process would start beside it");
        assert!(!wants(&walk.state).contains(&Want::Do(write)));
        let unknown = outcome == Outcome::Unknown;
        walk.end(intent, outcome);
        if unknown {
            assert_eq!(walk.state.units()[0].stage, UnitStep::Delivering);
            walk.say(Fact::Reconciled { intent, found: Reconciled::Foreign });
        }
        assert_eq!((walk.state.hold(), walk.state.units()[0].stage), (None, UnitStep::Applying(0)));
    }
}

#[test]
fn units_that_were_on_their_way_have_their_whole_time_once_the_hold_is_released() {
    let mut plan = two();
    plan.files.push(HostId(0));
    plan.consumers[0].files = vec![FILE, FileId(2)];
    let mut walk = Walk::of(plan);
    meet_an_edit(&mut walk, &Op::Deliver(FILE, Which::New));
    walk.wait(60_000);
    accept(&mut walk, FILE);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Delivering);
    assert_eq!(wants(&walk.state), [Want::Do(Op::Deliver(FileId(2), Which::New))]);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn only_a_file_of_an_open_rotation_is_accepted() {
    let why = |walk: &Walk, file| {
        let fact = Fact::Waived(Waived::File(file));
        step(&walk.state, &Event { at: walk.at, fact }).err().map(|illegal| illegal.why)
    };
    let mut walk = Walk::of(two());
    assert_eq!(why(&walk, FileId(1)), None);
    assert_eq!(why(&walk, FileId(2)), Some("the rotation has no such file"));
    walk.until(State::ended);
    assert_eq!(why(&walk, FileId(1)), Some("the rotation has ended"));
}
