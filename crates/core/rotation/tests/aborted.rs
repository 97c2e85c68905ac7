//! An abort tries again what failed; and a consumer that a rollback cannot restart may show that it never left the old key.

use keyroll_rotation::{
    ConsumerId, Fact, Hold, Kinds, Op, Outcome, PATHS_MAX, PROTOCOL, Phase, Plan, Proof, Query, Reason,
    Reconciled, UnitStep, Waived, Want, Which, wants,
};

use crate::walk::{Walk, plan, proof, proof_of};

const FIRST: ConsumerId = ConsumerId(0);
const BACK: Op = Op::Apply(FIRST, 0, Which::Old);
const ASK: Want = Want::Ask(Query::Prove(FIRST, Some(0), Which::Old));
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
