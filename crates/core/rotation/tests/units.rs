//! How often a unit is tried, and what it waits for.

use keyroll_rotation::{
    ConsumerId, Emergency, EndpointId, Fact, Hold, Op, Outcome, Phase, ProbeResult, Query, Reason,
    Reconciled, UnitStep, Waived, Want, Which, wants,
};

use crate::walk::Walk;

const FIRST: ConsumerId = ConsumerId(0);
const APPLY: Op = Op::Apply(FIRST, 0, Which::New);

/// The first consumer is about to be applied.
fn at_its_verb() -> Walk {
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    walk
}

/// An attempt whose outcome nobody saw and whose effect is not found.
fn unclear(walk: &mut Walk) {
    let intent = walk.begin(&APPLY);
    walk.end(intent, Outcome::Unknown);
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))]);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
}

#[test]
fn a_verb_that_ends_unclear_every_time_fails_its_unit() {
    let mut walk = at_its_verb();
    for attempt in 1..5 {
        unclear(&mut walk);
        assert!(wants(&walk.state).contains(&Want::Do(APPLY)), "given up after {attempt}");
    }
    unclear(&mut walk);
    assert!(!wants(&walk.state).contains(&Want::Do(APPLY)), "a sixth attempt");
    // The unit is rolled back alone, and the operator is asked.
    assert_eq!(walk.state.units()[0].toward, Which::Old);
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
}

#[test]
fn what_a_drivers_end_left_in_question_is_not_counted() {
    let mut walk = at_its_verb();
    for _ in 0..20 {
        let intent = walk.begin(&APPLY);
        walk.another_driver();
        walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
    }
    assert!(wants(&walk.state).contains(&Want::Do(APPLY)));
    assert_eq!((walk.state.units()[0].toward, walk.state.units()[0].failures), (Which::New, 0));
}

#[test]
fn what_is_waived_as_not_visible_settles_once_it_is_applied() {
    let mut walk = at_its_verb();
    walk.say(Fact::Waived(Waived::NotVisible(FIRST)));
    let intent = walk.begin(&APPLY);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(0), "before its verb was carried out");
    walk.end(intent, Outcome::Done(None));
    assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
    // The gate does not wait for evidence that is not visible, either.
    walk.until(|state| state.phase() == Phase::Quiesce);
    let mut look = walk.look();
    look.instances.retain(|seen| seen.consumer != Some(FIRST));
    walk.say(Fact::Enumerated(look));
    assert_eq!(walk.state.phase(), Phase::Disable);
}

#[test]
fn what_cannot_be_seen_and_is_not_waived_fails_by_its_deadline() {
    let mut walk = at_its_verb();
    let intent = walk.begin(&APPLY);
    walk.end(intent, Outcome::Done(None));
    walk.wait(9_000);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Proving(0));
    walk.wait(1_000);
    assert_eq!(walk.state.units()[0].toward, Which::Old);
}

/// A version was given up, and a consumer that had it is being moved to the next one while its log shows refusals.
fn in_trouble(refused: bool) -> bool {
    let mut walk = Walk::to(Phase::Decide);
    if refused {
        let answer = ProbeResult::Dead;
        walk.say(Fact::Probed { endpoint: EndpointId(0), version: Which::New, answer, control: None });
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
    }
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
    walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: true });
    walk.state.units()[0].stage == UnitStep::Failed
        || walk.state.units()[0].toward == Which::Old
        || walk.state.hold().is_some()
}

#[test]
fn what_is_refused_with_a_key_that_was_given_up_says_nothing_about_the_next() {
    assert!(in_trouble(false));
    assert!(!in_trouble(true));
}
