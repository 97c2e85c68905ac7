//! Declared bystanders: what only holds a value does not block its end; what uses it, or was not declared, does.

use keyroll_rotation::{
    Aim, Blocker, BystanderId, BystanderSeen, ConsumerId, Enumeration, Fact, FoundBy, Hold, HostId,
    Incarnation, InstanceIdentity, ObservedInstance, Person, Phase, Plan, Query, Reason, SearchLimit,
    SessionSeen, State, Unsearched, Visibility, Want, Which, blockers, consent_digest, wants,
};

use crate::walk::{self, Walk, plan};

const GATEWAY: BystanderId = BystanderId(17);
const SHIPPER: BystanderId = BystanderId(18);

fn process(pid: u32) -> Incarnation {
    let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 1, program: 1 };
    Incarnation { host: HostId(0), life }
}

fn declared() -> Plan {
    Plan { bystanders: vec![GATEWAY, SHIPPER], ..plan() }
}

/// The look with these undeclared holders of the old version, each with the declaration that fits it.
fn with(walk: &Walk, holders: &[(Incarnation, Option<BystanderId>)]) -> Enumeration {
    let mut seen = walk.look();
    for (who, id) in holders {
        seen.instances.push(ObservedInstance {
            who: *who,
            consumer: None,
            slot: 0,
            old: Visibility::Yes,
            new: Visibility::No,
            by: FoundBy::Memory,
        });
        seen.bystanders.extend(id.map(|id| BystanderSeen { who: *who, id }));
    }
    seen
}

/// Answers everything; each look has these holders. Ends at a consent, and returns what it is bound to.
fn asked(walk: &mut Walk, holders: &[(Incarnation, Option<BystanderId>)]) -> u64 {
    for _ in 0..200 {
        for want in wants(&walk.state) {
            if let Want::Person(Person::Consent(digest)) = want {
                return digest;
            }
        }
        if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
            let seen = with(walk, holders);
            walk.say(Fact::Enumerated(seen));
        } else {
            walk.go_on();
        }
    }
    panic!("nobody is asked: {:?} {:?}", walk.state.phase(), walk.state.hold());
}

fn held_by(walk: &Walk) -> Option<Hold> {
    walk.state.hold()
}

#[test]
fn a_declared_bystander_passes_the_gate_and_the_consent_names_it() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let without = {
        let mut clean = Walk::of(declared());
        clean.until(|state| state.phase() == Phase::Quiesce);
        asked(&mut clean, &[])
    };
    let digest = asked(&mut walk, &[(process(40), Some(GATEWAY))]);
    assert_ne!(digest, without, "the consent is about the bystander too");
    assert_eq!(walk.state.bystanders().into_iter().collect::<Vec<_>>(), [(GATEWAY, vec![process(40)])]);
    assert_eq!(consent_digest(&walk.state), Some(digest));
    walk.say(Fact::Consented(digest));
    for _ in 0..200 {
        if walk.state.ended() {
            break;
        }
        if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
            let seen = with(&walk, &[(process(40), Some(GATEWAY))]);
            walk.say(Fact::Enumerated(seen));
        } else {
            walk.go_on();
        }
    }
    assert_eq!((walk.state.phase(), held_by(&walk)), (Phase::Done, None));
}

#[test]
fn another_process_of_the_same_bystander_or_none_leaves_the_consent_and_another_bystander_does_not() {
    let digest_after = |then: &[(Incarnation, Option<BystanderId>)]| {
        let mut walk = Walk::of(declared());
        walk.until(|state| state.phase() == Phase::Quiesce);
        let first = asked(&mut walk, &[(process(40), Some(GATEWAY))]);
        let seen = with(&walk, then);
        walk.say(Fact::Enumerated(seen));
        (first, consent_digest(&walk.state))
    };
    for then in [
        &[][..],
        &[(process(41), Some(GATEWAY))],
        &[(process(41), Some(GATEWAY)), (process(42), Some(GATEWAY))],
    ] {
        let (first, now) = digest_after(then);
        assert_eq!(Some(first), now, "{then:?}");
    }
    let (first, now) = digest_after(&[(process(40), Some(GATEWAY)), (process(50), Some(SHIPPER))]);
    assert_ne!(Some(first), now);
}

#[test]
fn a_stranger_beside_a_bystander_still_blocks() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let seen = with(&walk, &[(process(40), Some(GATEWAY)), (process(41), None)]);
    walk.say(Fact::Enumerated(seen));
    assert_eq!(held_by(&walk), Some(Hold::Paused(Reason::Holder(process(41)))));
}

#[test]
fn a_declaration_that_the_plan_does_not_have_excuses_nothing() {
    for plan in [plan(), Plan { bystanders: vec![SHIPPER], ..plan() }] {
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Quiesce);
        let seen = with(&walk, &[(process(40), Some(GATEWAY))]);
        walk.say(Fact::Enumerated(seen));
        assert_eq!(held_by(&walk), Some(Hold::Paused(Reason::Holder(process(40)))));
        assert!(walk.state.bystanders().is_empty());
    }
}

#[test]
fn a_process_of_a_consumer_is_never_a_bystander() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let instance = walk::who(ConsumerId(1));
    let mut seen = walk.look();
    seen.bystanders.push(BystanderSeen { who: instance, id: GATEWAY });
    seen.instances[1].old = Visibility::Yes;
    seen.instances[1].new = Visibility::No;
    seen.unsearched.push(Unsearched { who: instance, limit: SearchLimit::Size });
    walk.say(Fact::Enumerated(seen));
    let look = walk.state.look().unwrap();
    let found = blockers(&walk.state, look, Which::New);
    assert!(found.contains(&Blocker::Unsearched(instance, SearchLimit::Size)), "{found:?}");
    assert_ne!(walk.state.phase(), Phase::Disable);
    assert!(walk.state.bystanders().is_empty());
}

/// It declares that a process holds the value, not that it may use it.
#[test]
fn a_session_of_a_bystander_still_blocks() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let mut seen = with(&walk, &[(process(40), Some(GATEWAY))]);
    seen.sessions = Some(vec![SessionSeen { who: Some(process(40)), busy: false }]);
    walk.say(Fact::Enumerated(seen));
    assert_eq!((walk.state.phase(), held_by(&walk)), (Phase::Quiesce, None));
    let found = blockers(&walk.state, walk.state.look().unwrap(), Which::New);
    assert_eq!(found, [keyroll_rotation::Blocker::Session(Some(process(40)))]);
}

#[test]
fn memory_of_a_bystander_that_was_not_searched_is_not_counted() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let seen = with(&walk, &[(process(40), Some(GATEWAY))]);
    walk.say(Fact::Enumerated(seen));
    // It held the value before, and now nobody sees whether it does.
    let mut seen = with(&walk, &[]);
    seen.unsearched.push(Unsearched { who: process(40), limit: SearchLimit::Size });
    seen.bystanders.push(BystanderSeen { who: process(40), id: GATEWAY });
    walk.say(Fact::Enumerated(seen));
    let look = walk.state.look().unwrap();
    assert!(blockers(&walk.state, look, Which::New).is_empty());
    assert!(keyroll_rotation::unsearched(&walk.state, look).is_empty());
    assert_eq!(held_by(&walk), None);
}

#[test]
fn a_bystander_that_keeps_the_new_value_does_not_hold_up_a_rollback() {
    let mut walk = Walk::of(declared());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    for _ in 0..200 {
        if walk.state.ended() {
            break;
        }
        if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
            let mut seen = with(&walk, &[(process(40), Some(GATEWAY))]);
            let last = seen.instances.len() - 1;
            (seen.instances[last].old, seen.instances[last].new) = (Visibility::No, Visibility::Yes);
            walk.say(Fact::Enumerated(seen));
        } else {
            walk.go_on();
        }
    }
    assert_eq!((walk.state.phase(), held_by(&walk)), (Phase::RolledBack, None));
}

/// The configuration consents to what it declares itself.
#[test]
fn a_standing_consent_covers_declared_bystanders() {
    let mut plan = declared();
    plan.policy.standing_consent = true;
    assert_eq!(plan.aim, Aim::Replace);
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Decide);
    let decides = |state: &State| wants(state).iter().any(|want| matches!(want, Want::Decide(_)));
    for _ in 0..20 {
        if decides(&walk.state) {
            return;
        }
        if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
            let seen = with(&walk, &[(process(40), Some(GATEWAY))]);
            walk.say(Fact::Enumerated(seen));
        } else {
            walk.go_on();
        }
    }
    panic!("it does not decide: {:?} {:?}", walk.state.phase(), wants(&walk.state));
}
