//! Where consumers fetch from a source of truth outside of keyroll: what another party changes there is never overwritten,
//! and nothing is ended beside it.

use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Emergency, Event, Fact, FileId, Hold, HostId, Op, Outcome, Phase, Plan,
    Query, Reason, Reconciled, ReloadMode, TruthValue, UnitStep, Want, step, wants,
};

use crate::walk::{self, Walk};

const CHANGED: Option<Hold> = Some(Hold::Stuck(Reason::ChangedElsewhere));

fn is_wanted(walk: &Walk, op: &Op) -> bool {
    wants(&walk.state).contains(&Want::Do(op.clone()))
}

fn until_wanted(walk: &mut Walk, op: &Op) {
    walk.until(|state| wants(state).contains(&Want::Do(op.clone())));
}

/// Whether a fact is legal now.
fn takes(walk: &Walk, fact: Fact) -> bool {
    step(&walk.state, &Event { at: walk.at, fact }).is_ok()
}

/// The operation was not carried out, because another party's value is there.
fn meets_a_change(walk: &mut Walk, op: &Op) {
    until_wanted(walk, op);
    let intent = walk.begin(op);
    walk.end(intent, Outcome::ChangedElsewhere);
    assert_eq!((walk.state.hold(), walk.first_op()), (CHANGED, None), "{op:?}");
}

#[test]
fn a_change_before_promote_holds_the_rotation_until_the_operator_has_looked() {
    for op in [Op::Stage, Op::Promote] {
        let mut walk = Walk::of(walk::plan());
        meets_a_change(&mut walk, &op);
        walk.say(Fact::Retried);
        assert!(walk.state.hold().is_none() && is_wanted(&walk, &op), "{op:?}");
        // It is still there.
        meets_a_change(&mut walk, &op);
        assert!(!takes(&walk, Fact::Resumed), "the operator looks first");
        walk.say(Fact::Retried);
        walk.until(|state| state.phase() == Phase::Done);
    }
}

#[test]
fn what_ends_unclear_every_time_at_the_source_of_truth_is_given_up() {
    for (op, phase) in [(Op::Stage, Phase::Stage), (Op::Promote, Phase::Roll)] {
        let mut walk = Walk::of(walk::plan());
        for attempt in 1..=5 {
            until_wanted(&mut walk, &op);
            assert_eq!(walk.state.phase(), phase, "given up before attempt {attempt}");
            let intent = walk.begin(&op);
            walk.end(intent, Outcome::Unknown);
            walk.at.ms += 600_000;
            walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
        }
        assert_eq!((walk.state.hold(), walk.first_op()), (Some(Hold::Paused(Reason::Failed(phase))), None));
        walk.say(Fact::Resumed);
        assert!(is_wanted(&walk, &op), "{op:?} is tried again on the operator's word");
        walk.until(|state| state.phase() == Phase::Done);
    }
}

#[test]
fn a_rollback_before_promote_leaves_another_partys_value_alone() {
    let mut walk = Walk::of(walk::plan());
    meets_a_change(&mut walk, &Op::Promote);
    walk.say(Fact::AbortAsked);
    walk.until(|state| state.phase() == Phase::RolledBack);
    assert!(!walk.said.iter().any(|event| event.fact == Fact::Intended(Op::Demote)));
}

#[test]
fn what_another_party_gives_out_after_promote_is_promoted_over_only_on_the_operators_word() {
    for phase in [Phase::Quiesce, Phase::Soak, Phase::Decide, Phase::Revoke, Phase::Sweep] {
        for gives in [TruthValue::Old, TruthValue::Other] {
            let mut walk = Walk::to(phase);
            walk.say(Fact::TruthRead(TruthValue::New));
            assert_eq!(walk.state.hold(), None, "that is as it should be");
            walk.say(Fact::TruthRead(gives));
            assert_eq!(walk.state.hold(), CHANGED, "{phase:?} {gives:?}");
            assert!(!is_wanted(&walk, &Op::Promote) && !is_wanted(&walk, &Op::Revoke), "{phase:?} {gives:?}");
            assert_eq!(takes(&walk, Fact::AbortAsked), !walk.state.decided(), "{phase:?}");
            walk.say(Fact::Retried);
            assert_eq!(walk.state.phase(), Phase::Roll, "{phase:?} {gives:?}");
            until_wanted(&mut walk, &Op::Promote);
            walk.until(|state| state.phase() == Phase::Done);
        }
    }
}

#[test]
fn a_rollback_after_promote_needs_the_new_or_the_old_value_there() {
    let mut walk = Walk::to(Phase::Quiesce);
    walk.say(Fact::TruthRead(TruthValue::Other));
    walk.say(Fact::AbortAsked);
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RollingBack, None));
    for _ in 0..2 {
        meets_a_change(&mut walk, &Op::Demote);
        walk.say(Fact::Retried);
    }
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
    // A consumer follows it, and was given another value after the way back.
    walk.say(Fact::TruthRead(TruthValue::Other));
    assert_eq!(walk.state.hold(), CHANGED);
    walk.say(Fact::Retried);
    until_wanted(&mut walk, &Op::Demote);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn a_rollback_takes_back_what_another_party_promoted() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Probe);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
    walk.say(Fact::TruthRead(TruthValue::Old));
    assert!(!is_wanted(&walk, &Op::Demote) && walk.state.hold().is_none(), "that is as it should be");
    walk.say(Fact::TruthRead(TruthValue::New));
    assert_eq!((walk.state.hold(), walk.first_op()), (None, Some(Op::Demote)));
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn a_promote_that_is_found_overwritten_was_perhaps_given_out() {
    let mut walk = Walk::of(walk::plan());
    until_wanted(&mut walk, &Op::Promote);
    let intent = walk.begin(&Op::Promote);
    walk.end(intent, Outcome::Unknown);
    let foreign = Fact::Reconciled { intent, found: Reconciled::Foreign };
    walk.say(foreign.clone());
    assert_eq!(walk.state.hold(), None, "its request may still arrive");
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))]);
    walk.wait(walk.state.plan().capabilities.request_ms_max);
    walk.say(foreign);
    assert_eq!((walk.state.hold(), walk.state.intents().len()), (CHANGED, 0));
    walk.say(Fact::AbortAsked);
    until_wanted(&mut walk, &Op::Demote);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

fn with_a_fetcher() -> Plan {
    let mut plan = walk::plan();
    plan.files.push(HostId(0));
    plan.consumers.push(Consumer {
        host: HostId(0),
        delivery: Delivery::Fetch,
        uptake: ReloadMode::Verb,
        files: vec![FileId(2)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    });
    plan
}

#[test]
fn a_consumer_fetches_only_what_is_given_out_again() {
    let fetcher = ConsumerId(2);
    let mut walk = Walk::of(with_a_fetcher());
    meets_a_change(&mut walk, &Op::Fetch(fetcher));
    assert_eq!(walk.state.units()[fetcher.index()].stage, UnitStep::Delivering);
    // However long the operator takes, the consumer has not failed.
    walk.wait(10 * walk.state.plan().policy.unit_ms_max);
    walk.say(Fact::Retried);
    assert_eq!(walk.first_op(), Some(Op::Promote), "what was put back is promoted first");
    walk.until(|state| state.phase() == Phase::Done);

    // On the way back the same.
    let mut back = Walk::of(with_a_fetcher());
    back.until(|state| state.phase() == Phase::Quiesce);
    back.say(Fact::AbortAsked);
    meets_a_change(&mut back, &Op::Fetch(fetcher));
    back.say(Fact::Retried);
    until_wanted(&mut back, &Op::Demote);
    back.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn an_answer_about_a_version_that_was_given_up_holds_nothing() {
    let mut walk = Walk::of(walk::plan());
    until_wanted(&mut walk, &Op::Stage);
    let stage = walk.begin(&Op::Stage);
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.end(stage, Outcome::ChangedElsewhere);
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Mint));
}

#[test]
fn only_what_asks_the_source_of_truth_meets_a_change_there() {
    let mut walk = Walk::of(walk::plan());
    until_wanted(&mut walk, &Op::Mint);
    let intent = walk.begin(&Op::Mint);
    assert!(!takes(&walk, Fact::Ended { intent, outcome: Outcome::ChangedElsewhere }));
    assert!(takes(&walk, Fact::Ended { intent, outcome: Outcome::Unknown }));
}
