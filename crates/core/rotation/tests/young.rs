//! What ends a key rests on a young look, whatever the state before says.

use keyroll_rotation::{
    Enumeration, Event, Fact, Op, Outcome, Phase, Query, Stamp, State, Want, step, wants,
};

use crate::walk::{Walk, proof};

/// The bound of the walk's plan, and one more than an event of the walk takes.
const TOO_OLD_MS: u64 = 10_002;

/// Whether a fact is legal so many milliseconds after the last event.
fn legal_after(walk: &Walk, ms: u64, fact: Fact) -> bool {
    step(&walk.state, &Event { at: Stamp { ms: walk.at.ms + ms, ..walk.at }, fact }).is_ok()
}

fn wanted(state: &State, op: &Op) -> bool {
    wants(state).contains(&Want::Do(op.clone()))
}

fn until_wanted(phase: Phase, op: &Op) -> Walk {
    let mut walk = Walk::to(phase);
    while !wanted(&walk.state, op) {
        walk.go_on();
    }
    walk
}

#[test]
fn a_key_is_ended_only_on_a_young_look() {
    for (phase, op) in
        [(Phase::Disable, Op::Disable), (Phase::Revoke, Op::Revoke), (Phase::RollingBack, Op::DeleteNew)]
    {
        let mut walk = until_wanted(phase, &op);
        assert!(legal_after(&walk, 1, Fact::Intended(op.clone())), "{op:?}");
        assert!(!legal_after(&walk, TOO_OLD_MS, Fact::Intended(op.clone())), "{op:?}");
        // Time passes: the look is made again, and the operation follows.
        walk.wait(TOO_OLD_MS);
        assert!(!wanted(&walk.state, &op) && wants(&walk.state).contains(&Want::Ask(Query::Enumerate)));
        walk.say(walk.see(&Query::Enumerate));
        while !wanted(&walk.state, &op) {
            walk.go_on();
        }
    }
}

#[test]
fn nothing_is_decided_on_an_old_look_and_an_operator_may_take_days() {
    let mut walk = Walk::to(Phase::Decide);
    let consent = |walk: &Walk| {
        wants(&walk.state).into_iter().find_map(|want| match want {
            Want::Person(keyroll_rotation::Person::Consent(digest)) => Some(digest),
            Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) | Want::Person(_) => None,
        })
    };
    let look = |walk: &mut Walk| {
        for want in wants(&walk.state) {
            if let Want::Ask(query) = want {
                walk.say(walk.see(&query));
            }
        }
    };
    while consent(&walk).is_none() {
        look(&mut walk);
    }
    walk.at.ms += 36_000_000;
    let digest = consent(&walk).unwrap();
    walk.say(Fact::Consented(digest));
    assert!(!wants(&walk.state).contains(&Want::Decide(digest)));
    look(&mut walk);
    look(&mut walk);
    assert!(wants(&walk.state).contains(&Want::Decide(digest)));
    assert!(legal_after(&walk, 1, Fact::Decided(digest)));
    assert!(!legal_after(&walk, TOO_OLD_MS, Fact::Decided(digest)));
}

#[test]
fn a_look_that_takes_long_may_be_as_much_older_if_the_one_before_took_as_long() {
    let slow = |walk: &mut Walk, took_ms: u64| {
        walk.wait(took_ms);
        walk.say(Fact::Enumerated(Enumeration { took_ms, ..walk.look() }));
    };
    let mut walk = until_wanted(Phase::Disable, &Op::Disable);
    // A driver that was stopped while it looked: what it saw may be as old as that.
    slow(&mut walk, 20_000);
    assert!(!wanted(&walk.state, &Op::Disable));
    slow(&mut walk, 20_000);
    assert!(wanted(&walk.state, &Op::Disable));
    assert!(!legal_after(&walk, TOO_OLD_MS, Fact::Intended(Op::Disable)));
}

#[test]
fn a_revoke_needs_the_evidence_still() {
    let mut walk = Walk::to(Phase::Revoke);
    assert!(wanted(&walk.state, &Op::Revoke));
    // Right after the decision a consumer shows the old version again.
    let consumer = keyroll_rotation::ConsumerId(0);
    let proofs = vec![proof(consumer, keyroll_rotation::Which::Old)];
    walk.say(Fact::Proved { consumer, proofs, trouble: false });
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Enumerate)]);
    walk.say(walk.see(&Query::Enumerate));
    assert_eq!(walk.state.phase(), Phase::Quiesce);
}

/// Red if a look counts that began before the operator consented.
#[test]
fn a_look_that_was_under_way_at_the_consent_is_not_the_one_after_it() {
    let mut walk = Walk::to(Phase::Decide);
    let consent = |state: &State| {
        wants(state).into_iter().find_map(|want| match want {
            Want::Person(keyroll_rotation::Person::Consent(digest)) => Some(digest),
            Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) | Want::Person(_) => None,
        })
    };
    while consent(&walk.state).is_none() {
        for want in wants(&walk.state) {
            if let Want::Ask(query) = want {
                walk.say(walk.see(&query));
            }
        }
    }
    let digest = consent(&walk.state).unwrap();
    walk.wait(100);
    walk.say(Fact::Consented(digest));
    walk.say(Fact::Enumerated(Enumeration { took_ms: 50, ..walk.look() }));
    walk.say(walk.see(&Query::Refusals));
    assert!(!wants(&walk.state).contains(&Want::Decide(digest)), "it began before the consent");
    assert!(wants(&walk.state).contains(&Want::Ask(Query::Enumerate)));
    walk.say(walk.see(&Query::Enumerate));
    walk.say(walk.see(&Query::Refusals));
    assert!(wants(&walk.state).contains(&Want::Decide(digest)));
}

/// Red if the Revoke is sent once more on a look that began before the first one had failed.
#[test]
fn a_look_that_was_under_way_when_a_revoke_failed_is_not_the_one_after_it() {
    let mut walk = until_wanted(Phase::Revoke, &Op::Revoke);
    walk.say(Fact::Intended(Op::Revoke));
    let intent = walk.state.intents().first().unwrap().seq;
    walk.wait(100);
    walk.say(Fact::Ended { intent, outcome: Outcome::Failed { retry: true } });
    walk.say(Fact::Enumerated(Enumeration { took_ms: 50, ..walk.look() }));
    assert!(!legal_after(&walk, 1, Fact::Intended(Op::Revoke)), "it began before the Revoke failed");
    assert!(wants(&walk.state).contains(&Want::Ask(Query::Enumerate)));
    walk.say(walk.see(&Query::Enumerate));
    while !wanted(&walk.state, &Op::Revoke) {
        walk.go_on();
    }
}
