//! Consumers whose commands were corrected in the open rotation: what was seen of them before counts no more.

use keyroll_rotation::{ConsumerId, Fact, Op, Person, Phase, State, Want, wants};

use crate::walk::Walk;

const FIRST: ConsumerId = ConsumerId(0);

fn correct(walk: &mut Walk) {
    walk.another_driver();
    walk.say(Fact::Corrected { consumers: vec![FIRST], names: "".into() });
}

/// Its check may have passed without the key.
#[test]
fn evidence_from_before_a_correction_does_not_count() {
    for phase in [Phase::Quiesce, Phase::Soak, Phase::Decide, Phase::Revoke] {
        let mut walk = Walk::to(phase);
        correct(&mut walk);
        let from = walk.said.len();
        walk.until(|state| state.phase() == Phase::ConfirmDead);
        let since = &walk.said[from..];
        let proved = |fact: &Fact| matches!(fact, Fact::Proved { consumer, .. } if *consumer == FIRST);
        let proved = since.iter().position(|event| proved(&event.fact));
        let ended = since.iter().position(|event| event.fact == Fact::Intended(Op::Revoke));
        assert!(proved.is_some() && proved < ended, "{phase:?}: {proved:?} {ended:?}");
        let other = |fact: &Fact| matches!(fact, Fact::Proved { consumer, .. } if *consumer != FIRST);
        assert!(!since.iter().any(|event| other(&event.fact)), "{phase:?}: the other one was asked too");
    }
}

#[test]
fn a_consent_from_before_a_correction_is_asked_for_again() {
    let asked = |state: &State| {
        wants(state).into_iter().find_map(|want| {
            if let Want::Person(Person::Consent(digest)) = want { Some(digest) } else { None }
        })
    };
    let mut walk = Walk::to(Phase::Decide);
    walk.until(|state| asked(state).is_some());
    let digest = asked(&walk.state).unwrap();
    walk.say(Fact::Consented(digest));
    assert_eq!((walk.state.phase(), asked(&walk.state)), (Phase::Decide, None));
    correct(&mut walk);
    let from = walk.said.len();
    walk.until(|state| state.decided());
    assert!(walk.said[from..].iter().any(|event| event.fact == Fact::Consented(digest)));
}
