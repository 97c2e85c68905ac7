//! An abort tries again what failed; and a consumer that a rollback cannot restart may show that it never left the old key.

use keyroll_rotation::{
    ConsumerId, Fact, FileId, Hold, Kinds, Next, OnFailure, Op, Outcome, PATHS_MAX, PROTOCOL, Phase, Plan,
    Proof, Query, Reason, Reconciled, ReloadMode, State, UnitStep, Visibility, Waived, Want, Which, wants,
    way,
};

use crate::walk::{Walk, plan, proof, proof_of};

const FIRST: ConsumerId = ConsumerId(0);
const BACK: Op = Op::Apply(FIRST, 0, Which::Old);
const ASK: Want = Want::Ask(Query::Prove(FIRST, Some(0), Which::Old));
/// The last consumer of the plan: the first one whose turn comes in a rollback.
const LAST: ConsumerId = ConsumerId(1);
const BACK_OF_LAST: Op = Op::Apply(LAST, 0, Which::Old);
const WRITE_FIRST: Op = Op::Deliver(FileId(0), Which::Old);
const STUCK: Option<Hold> = Some(Hold::Stuck(Reason::Unit(FIRST)));

/// One consumer, which is restarted.
fn one(protocol: u32) -> Plan {
    let mut plan = Plan { protocol, ..plan() };
    plan.consumers.truncate(1);
    plan
}

fn fail(walk: &mut Walk, restart: &Op) {
    let intent = walk.begin(restart);
    walk.end(intent, Outcome::Failed { retry: false });
}

/// It failed, and failed again while it was rolled back alone.
fn stuck_alone(protocol: u32) -> Walk {
    let mut walk = Walk::of(one(protocol));
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    fail(&mut walk, &Op::Apply(FIRST, 0, Which::New));
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    fail(&mut walk, &BACK);
    assert_eq!(walk.state.hold(), STUCK);
    walk
}

#[test]
fn an_abort_tries_again_what_failed_while_it_was_rolled_back_alone() {
    let mut walk = stuck_alone(PROTOCOL);
    let from = walk.said.len();
    walk.say(Fact::AbortAsked);
    walk.until(|state| state.ended());
    assert_eq!(walk.state.phase(), Phase::RolledBack);
    assert!(walk.said[from..].iter().any(|event| event.fact == Fact::Intended(BACK)));
}

/// As an earlier protocol opened it, the rotation is read as it was.
#[test]
fn a_rotation_of_before_is_stuck_at_once() {
    for protocol in [1, 12] {
        let mut walk = stuck_alone(protocol);
        let from = walk.said.len();
        walk.say(Fact::AbortAsked);
        walk.until(|state| state.hold().is_some());
        assert_eq!(walk.state.hold(), STUCK);
        assert!(!walk.said[from..].iter().any(|event| event.fact == Fact::Intended(BACK)));
        walk.say(Fact::Retried);
        walk.until(|state| state.phase() == Phase::RolledBack);
    }
}

#[test]
fn a_consumer_that_is_on_its_way_when_the_rotation_is_aborted_has_its_whole_time() {
    let mut walk = Walk::of(one(PROTOCOL));
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    fail(&mut walk, &Op::Apply(FIRST, 0, Which::New));
    assert_eq!(walk.state.units()[0].stage, UnitStep::Delivering);
    walk.wait(9_000);
    walk.say(Fact::AbortAsked);
    walk.wait(9_000);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Delivering);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// A rollback is about to restart the consumer.
fn before_its_restart(protocol: u32, slots: u8) -> Walk {
    let mut plan = one(protocol);
    plan.consumers[0].slots = slots;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(BACK)));
    walk
}

fn proved(walk: &mut Walk, proofs: Vec<Proof>) {
    walk.say(Fact::Proved { consumer: FIRST, proofs, trouble: false });
}

/// Evidence of this kind alone.
fn only(kinds: Kinds, version: Which) -> Proof {
    let mut paths = [Kinds::NONE; PATHS_MAX];
    paths[0] = kinds;
    Proof { paths, ..proof(FIRST, version) }
}

#[test]
fn a_consumer_that_cannot_be_restarted_and_works_with_the_old_key_is_restored() {
    let mut walk = before_its_restart(PROTOCOL, 1);
    let from = walk.said.len();
    fail(&mut walk, &BACK);
    assert_eq!((walk.state.hold(), wants(&walk.state)), (None, vec![ASK]));
    proved(&mut walk, vec![proof(FIRST, Which::Old)]);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
    walk.until(|state| state.phase() == Phase::RolledBack);
    let restarts = walk.said[from..].iter().filter(|event| event.fact == Fact::Intended(BACK)).count();
    assert_eq!(restarts, 1);
}

#[test]
fn a_consumer_that_cannot_be_restarted_and_does_not_show_the_old_key_is_stuck_at_once() {
    let delivered = only(Kinds::DELIVERED, Which::Old);
    for proofs in [vec![], vec![proof(FIRST, Which::New)], vec![delivered]] {
        let mut walk = before_its_restart(PROTOCOL, 1);
        fail(&mut walk, &BACK);
        proved(&mut walk, proofs);
        assert_eq!(walk.state.hold(), STUCK);
        walk.say(Fact::Retried);
        walk.until(|state| wants(state).contains(&Want::Do(BACK)));
    }
}

#[test]
fn a_consumer_that_shows_a_part_of_it_has_the_time_of_a_unit_for_the_rest() {
    for kinds in [Kinds::LOADED, Kinds::TOLD, Kinds::EXERCISED.and(Kinds::REPORTED)] {
        let mut plan = one(PROTOCOL);
        plan.policy.require = Kinds::READ;
        let mut walk = Walk::of(plan);
        walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
        proved(&mut walk, vec![only(Kinds::READ.and(Kinds::EXERCISED), Which::New)]);
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until(|state| wants(state).contains(&Want::Do(BACK)));
        fail(&mut walk, &BACK);
        proved(&mut walk, vec![only(kinds, Which::Old)]);
        assert_eq!((walk.state.hold(), wants(&walk.state)), (None, vec![ASK]), "{kinds:?}");
        walk.wait(9_000);
        assert_eq!((walk.state.hold(), wants(&walk.state)), (None, vec![ASK]), "{kinds:?}");
        walk.wait(1_000);
        assert_eq!(walk.state.hold(), STUCK, "{kinds:?}");
    }
}

#[test]
fn a_restart_that_takes_too_long_or_whose_outcome_is_unknown_each_time_leads_to_the_same_question() {
    let mut late = before_its_restart(PROTOCOL, 1);
    late.wait(10_000);
    assert_eq!((late.state.hold(), wants(&late.state)), (None, vec![ASK]));
    late.wait(10_000);
    assert_eq!(late.state.hold(), STUCK);

    let mut walk = before_its_restart(PROTOCOL, 1);
    for attempt in 1..=5 {
        assert_eq!(wants(&walk.state), [Want::Do(BACK)], "attempt {attempt}");
        let intent = walk.begin(&BACK);
        walk.end(intent, Outcome::Unknown);
        // It may still be carried out: what is seen meanwhile decides nothing.
        proved(&mut walk, Vec::new());
        assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))], "attempt {attempt}");
        walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
    }
    assert_eq!((walk.state.hold(), wants(&walk.state)), (None, vec![ASK]));
}

#[test]
fn each_instance_answers_for_itself() {
    let mut walk = before_its_restart(PROTOCOL, 2);
    fail(&mut walk, &BACK);
    proved(&mut walk, vec![proof_of(FIRST, 1, Which::New)]);
    assert_eq!((walk.state.hold(), wants(&walk.state)), (None, vec![ASK]), "it is asked about the other one");
    proved(&mut walk, vec![proof_of(FIRST, 0, Which::Old)]);
    assert_eq!(wants(&walk.state), [Want::Do(Op::Apply(FIRST, 1, Which::Old))]);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn nobody_asks_where_what_it_uses_is_not_visible_or_an_earlier_protocol_did_not() {
    let mut waived = before_its_restart(PROTOCOL, 1);
    waived.say(Fact::Waived(Waived::NotVisible(FIRST)));
    let before = before_its_restart(12, 1);
    for mut walk in [waived, before] {
        fail(&mut walk, &BACK);
        assert_eq!(walk.state.hold(), STUCK);
    }
}

/// Two consumers that are restarted.
fn two() -> Plan {
    let mut plan = plan();
    plan.consumers[1].uptake = ReloadMode::Verb;
    plan
}

/// A restart that leaves nothing behind, as one that hangs until it is ended.
fn hang(walk: &mut Walk, restart: &Op) {
    let intent = walk.begin(restart);
    walk.end(intent, Outcome::Unknown);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
}

fn is_restored(state: &State, at: usize) -> bool {
    let unit = &state.units()[at];
    (unit.stage, unit.toward) == (UnitStep::Settled, Which::Old)
}

#[test]
fn a_restart_that_hangs_in_a_rollback_holds_up_no_other_consumer() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(BACK_OF_LAST)));
    hang(&mut walk, &BACK_OF_LAST);
    assert_eq!(wants(&walk.state), [Want::Do(WRITE_FIRST)]);
    // Earlier versions tried it again: their journals are read.
    let mut before = walk.clone();
    for attempt in 2..=5 {
        assert!(wants(&before.state).contains(&Want::Do(WRITE_FIRST)), "attempt {attempt}");
        hang(&mut before, &BACK_OF_LAST);
    }
    walk.until(|state| is_restored(state, 0));
    assert!(!is_restored(&walk.state, 1));
    // Once the others are restored it has the attempts that are left.
    for attempt in 2..=5 {
        assert_eq!(wants(&walk.state), [Want::Do(BACK_OF_LAST)], "attempt {attempt}");
        hang(&mut walk, &BACK_OF_LAST);
    }
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Prove(LAST, Some(0), Which::Old))]);
}

#[test]
fn a_consumer_whose_restart_failed_forward_is_rolled_back_last() {
    let mut plan = two();
    plan.policy.on_failure = OnFailure::Rollback;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    fail(&mut walk, &Op::Apply(LAST, 0, Which::New));
    assert_eq!(walk.state.phase(), Phase::RollingBack);
    walk.until_it_does_something();
    let mut order = Vec::new();
    while let Some(op) = walk.first_op().filter(Op::on_host) {
        order.push(op);
        walk.go_on();
        walk.until_it_does_something();
    }
    assert_eq!(order, [WRITE_FIRST, BACK, Op::Deliver(FileId(1), Which::Old), BACK_OF_LAST]);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// It could not be restarted, and is waived after that.
fn waived_since(protocol: u32) -> Walk {
    let mut walk = before_its_restart(protocol, 1);
    fail(&mut walk, &BACK);
    proved(&mut walk, Vec::new());
    assert_eq!(walk.state.hold(), STUCK);
    walk.say(Fact::Waived(Waived::NotVisible(FIRST)));
    walk.say(Fact::Retried);
    walk
}

#[test]
fn a_consumer_that_is_waived_after_its_restart_failed_is_not_restarted_any_more() {
    let mut walk = waived_since(PROTOCOL);
    let from = walk.said.len();
    let mut corrected = walk.clone();
    walk.until(|state| state.phase() == Phase::RolledBack);
    assert!(!walk.said[from..].iter().any(|event| event.fact == Fact::Intended(BACK)));
    corrected.say(Fact::Corrected { consumers: vec![FIRST], names: "".into() });
    corrected.until(|state| wants(state).contains(&Want::Do(BACK)));
    // As an earlier protocol opened it, the restart is tried on.
    waived_since(13).until(|state| wants(state).contains(&Want::Do(BACK)));
}

/// Red: it is not offered again, and the rotation stays stuck at a consumer that was waived on the way forward.
#[test]
fn a_waiver_from_before_the_restart_failed_is_offered_once_more() {
    let waiver = Waived::NotVisible(FIRST);
    let mut walk = Walk::of(one(PROTOCOL));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::Waived(waiver));
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(BACK)));
    fail(&mut walk, &BACK);
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), STUCK);
    let is_offered = |state: &State| {
        let ways = way(state).unwrap().forward;
        ways.iter().any(|step| step.then.contains(&Next::Waive(waiver)))
    };
    assert!(is_offered(&walk.state));
    walk.say(Fact::Waived(waiver));
    assert!(!is_offered(&walk.state), "it does nothing more");
    walk.say(Fact::Retried);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn a_waived_consumer_that_is_seen_with_the_new_key_is_restarted_after_all() {
    let mut walk = waived_since(PROTOCOL);
    walk.until(|state| is_restored(state, 0) && wants(state).contains(&Want::Ask(Query::Enumerate)));
    let mut seen = walk.look();
    (seen.instances[0].old, seen.instances[0].new) = (Visibility::No, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    assert_eq!(wants(&walk.state), [Want::Do(BACK)]);
}

#[test]
fn the_time_of_a_rollback_that_ends_at_a_restart_names_its_consumer() {
    let overdue = Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
    for (protocol, held) in [(13, overdue), (PROTOCOL, STUCK)] {
        let mut walk = before_its_restart(protocol, 1);
        hang(&mut walk, &BACK);
        walk.wait(70_000);
        assert_eq!(walk.state.hold(), held, "protocol {protocol}");
    }
}
