//! Each wait says for what and until when, and ends by then although nobody answers.

use keyroll_rotation::{
    Awaited, CredId, Debt, EndpointId, Fact, Hold, Labelled, ListedState, OldKey, Op, Outcome, Person, Phase,
    Query, Reason, Until, Waiting, Want, Which, waiting, wants,
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

/// Everything that is asked is answered once, a list always incompletely.
fn with_half_lists(walk: &mut Walk) {
    for want in wants(&walk.state) {
        let wanted = wants(&walk.state).contains(&want);
        match want {
            Want::Ask(Query::List) if wanted => {
                walk.say(Fact::Listed {
                    complete: false,
                    labelled: Vec::new(),
                    old: ListedState::NotVisible,
                });
            }
            Want::Ask(query) if wanted => {
                let seen = walk.see(&query);
                walk.say(seen);
            }
            Want::Wait(ms) => walk.wait(ms),
            Want::Ask(_) | Want::Do(_) | Want::Decide(_) | Want::Person(_) => {}
        }
    }
}

#[test]
fn a_list_that_is_never_complete_is_not_waited_for_while_the_key_is_disabled() {
    let mut walk = Walk::to(Phase::Disable);
    let phase_ms = walk.state.plan().policy.phase_ms_max;
    let from = walk.at.ms;
    for _ in 0..40 {
        if walk.first_op() == Some(Op::Disable) {
            break;
        }
        with_half_lists(&mut walk);
        walk.wait(phase_ms / 20);
    }
    assert_eq!(walk.first_op(), Some(Op::Disable), "{:?}", what(&walk));
    assert!(walk.at.ms - from >= phase_ms, "the list was not waited for while the key works");
    let disable = walk.begin(&Op::Disable);
    walk.end(disable, Outcome::Done(None));
    let asked = |walk: &Walk| matches!(what(walk), Some(Awaited::Person(Person::Consent(_))));
    for _ in 0..20 {
        if !asked(&walk) {
            with_half_lists(&mut walk);
        }
    }
    assert!(asked(&walk), "{:?}", what(&walk));
    assert!(matches!(walk.state.old_key(), OldKey::Off(_)));
}

/// The operator said that the unknown key is gone: only a complete list shows it, and the issuer gives one now and then.
#[test]
fn a_list_that_counts_no_more_is_waited_for_once_more() {
    let mut walk = Walk::to(Phase::Soak);
    let labelled = vec![Labelled { intent: u64::MAX, credential: CredId::new("theirs") }];
    walk.say(Fact::Listed { complete: true, labelled, old: ListedState::Off });
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::UnknownLabel(u64::MAX))));
    walk.say(Fact::Retried);
    walk.until(|state| state.phase() == Phase::Disable && wants(state).contains(&Want::Ask(Query::List)));
    for _ in 0..10 {
        walk.say(Fact::Listed { complete: false, labelled: Vec::new(), old: ListedState::NotVisible });
        assert!(wants(&walk.state).contains(&Want::Ask(Query::List)), "{:?}", what(&walk));
        assert_ne!(walk.first_op(), Some(Op::Disable));
    }
}

#[test]
fn a_use_that_is_refused_while_a_list_is_waited_for_is_read() {
    let mut walk = Walk::to(Phase::Decide);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::List)));
    assert!(wants(&walk.state).contains(&Want::Ask(Query::Refusals)), "{:?}", wants(&walk.state));
    walk.say(Fact::Refusals { count: 1, took_ms: 0 });
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::RefusedUse)));
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

/// Nothing is restored before the old key was seen alive: that is waited for, and not for a consumer.
#[test]
fn a_rollback_says_that_it_waits_for_an_answer_about_the_old_key() {
    let mut walk = Walk::to(Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let probe = Query::Probe(EndpointId(0), Which::Old);
    silent(&mut walk, &probe);
    assert_eq!(what(&walk), Some(Awaited::Answer(probe)));
    until_the_end(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
}
