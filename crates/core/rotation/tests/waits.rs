//! Each wait says for what and until when, and ends by then although nobody answers.

use keyroll_rotation::{
    Awaited, Debt, Fact, Hold, ListedState, Op, Outcome, Person, Phase, Query, Reason, Until, Waiting, Want,
    Which, waiting, wants,
};

use crate::walk::{self, Walk};

/// Everything that is asked is answered, except this; nothing else happens.
fn silent(walk: &mut Walk, about: &Query) {
    for want in wants(&walk.state) {
        if let Want::Ask(query) = want
            && query != *about
            && wants(&walk.state).contains(&Want::Ask(query.clone()))
        {
            walk.say(walk.see(&query));
        }
    }
}

fn what(walk: &Walk) -> Option<Awaited> {
    waiting(&walk.state).map(|waiting| waiting.what)
}

/// Waits until a millisecond before the end of the wait, and then the last one.
fn until_the_end(walk: &mut Walk) {
    let Some(Waiting { what, until: Until::Ms(until) }) = waiting(&walk.state) else {
        panic!("it waits without an end: {:?}", waiting(&walk.state))
    };
    walk.wait(until - walk.at.ms - 2);
    assert_eq!(waiting(&walk.state), Some(Waiting { what, until: Until::Ms(until) }));
    walk.wait(0);
}

#[test]
fn a_store_that_does_not_say_what_it_holds_pauses_stage() {
    let mut walk = Walk::to(Phase::Stage);
    let stage = walk.begin(&Op::Stage);
    assert_eq!(what(&walk), Some(Awaited::Operation(stage)));
    walk.end(stage, Outcome::Done(None));
    assert_eq!(what(&walk), Some(Awaited::Phase(Phase::Stage)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Stage))));
    walk.say(Fact::Resumed);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn an_operation_of_which_nothing_is_heard_needs_the_operator() {
    let mut walk = Walk::to(Phase::Stage);
    let stage = walk.begin(&Op::Stage);
    walk.end(stage, Outcome::Unknown);
    assert_eq!(what(&walk), Some(Awaited::Outcome(stage)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unclear(stage))));
    walk.say(Fact::Retried);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn a_dropped_value_is_not_dropped_again_by_the_operators_word() {
    let mut walk = Walk::to(Phase::Sweep);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Retire(Which::Old))));
    let drop = walk.begin(&Op::Retire(Which::Old));
    walk.end(drop, Outcome::Unknown);
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unclear(drop))));
    walk.say(Fact::Retried);
    // Only the store knows, and no look is possible without the old value.
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(drop))]);
}

#[test]
fn a_consent_after_which_no_look_is_possible_is_dropped_and_the_key_is_enabled() {
    let mut walk = Walk::to(Phase::Decide);
    walk.until(|state| matches!(waiting(state).map(|it| it.what), Some(Awaited::Person(_))));
    let Some(Awaited::Person(Person::Consent(digest))) = what(&walk) else { panic!("{:?}", what(&walk)) };
    // The operator takes days.
    walk.wait(200_000_000);
    assert_eq!(waiting(&walk.state).map(|it| it.until), Some(Until::Person));
    walk.say(Fact::Consented(digest));
    assert_eq!(what(&walk), Some(Awaited::Answer(Query::Enumerate)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Decide))));
    assert_eq!(walk.first_op(), Some(Op::Enable));
    walk.until(|state| !wants(state).contains(&Want::Do(Op::Enable)));
    walk.say(Fact::Resumed);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn refusals_that_cannot_be_read_do_not_leave_the_key_disabled() {
    let mut walk = Walk::to(Phase::Decide);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Refusals)) || state.decided());
    silent(&mut walk, &Query::Refusals);
    assert_eq!(what(&walk), Some(Awaited::Answer(Query::Refusals)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Decide))));
    assert_eq!(walk.first_op(), Some(Op::Enable));
}

#[test]
fn a_revoke_that_waits_for_a_look_pauses() {
    let mut walk = Walk::to(Phase::Revoke);
    walk.another_driver();
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Enumerate)]);
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Revoke))));
    walk.say(Fact::Resumed);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn a_last_search_that_is_not_answered_pauses() {
    let mut walk = Walk::to(Phase::Sweep);
    for _ in 0..3 {
        silent(&mut walk, &Query::Sweep);
    }
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Sweep))));
    walk.say(Fact::Resumed);
    walk.until(|state| state.phase() == Phase::Done);
    assert_eq!(waiting(&walk.state), None);
}

#[test]
fn the_last_phase_says_that_it_waits_for_a_list() {
    let mut walk = Walk::to(Phase::Sweep);
    for _ in 0..3 {
        silent(&mut walk, &Query::List);
    }
    assert_eq!(what(&walk), Some(Awaited::Answer(Query::List)));
    until_the_end(&mut walk);
    assert_eq!(what(&walk), Some(Awaited::Debt(Debt::NotListed)));
}

#[test]
fn a_list_that_is_never_complete_does_not_hold_a_rollback_up_for_ever() {
    let mut plan = walk::plan();
    plan.policy.on_failure = keyroll_rotation::OnFailure::Rollback;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Mint);
    let mint = walk.begin(&Op::Mint);
    walk.end(mint, Outcome::Failed { retry: false });
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::RollingBack, vec![Want::Ask(Query::List)]));
    walk.say(Fact::Listed { complete: false, labelled: Vec::new(), old: ListedState::NotVisible });
    assert_eq!(what(&walk), Some(Awaited::Answer(Query::List)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    // The operator has looked at the issuer's console.
    walk.say(Fact::Retried);
    assert_eq!((walk.state.phase(), waiting(&walk.state)), (Phase::RolledBack, None));
}
