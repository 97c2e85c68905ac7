//! Memory that was not searched: of an instance it blocks the gate, of any other process the consent counts it.

use keyroll_rotation::{
    ConsumerId, Enumeration, Fact, FoundBy, Hold, HostId, Incarnation, InstanceIdentity, ObservedInstance,
    Op, Person, Phase, Query, Reason, SearchLimit, Unsearched, Visibility, Waived, Want, wants,
};

use crate::walk::{self, Walk};

fn process(pid: u32) -> Incarnation {
    let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 1, program: 1 };
    Incarnation { host: HostId(0), life }
}

fn look(walk: &Walk, unsearched: &[(Incarnation, SearchLimit)]) -> Fact {
    let unsearched = unsearched.iter().map(|(who, limit)| Unsearched { who: *who, limit: *limit });
    Fact::Enumerated(Enumeration { unsearched: unsearched.collect(), ..walk.look() })
}

/// Answers whatever is asked for; each look misses the memory of these processes.
fn answer(walk: &mut Walk, unsearched: &[(Incarnation, SearchLimit)]) {
    for want in wants(&walk.state) {
        match want {
            Want::Ask(Query::Enumerate) => walk.say(look(walk, unsearched)),
            Want::Ask(query) => walk.say(walk.see(&query)),
            Want::Do(_) | Want::Decide(_) | Want::Wait(_) | Want::Person(_) => {}
        }
    }
}

/// What the operator is asked to consent to, once everything else was answered.
fn asked(walk: &mut Walk, unsearched: &[(Incarnation, SearchLimit)]) -> u64 {
    for _ in 0..4 {
        answer(walk, unsearched);
        for want in wants(&walk.state) {
            if let Want::Person(Person::Consent(digest)) = want {
                return digest;
            }
        }
    }
    panic!("nobody is asked: {:?}", wants(&walk.state));
}

fn decides(walk: &Walk) -> bool {
    wants(&walk.state).iter().any(|want| matches!(want, Want::Decide(_)))
}

#[test]
fn an_instance_whose_memory_was_not_searched_keeps_the_gate_shut() {
    let instance = walk::who(ConsumerId(1));
    let too_large = [(instance, SearchLimit::Size)];
    for waived in [Waived::Holder(instance), Waived::NotVisible(ConsumerId(1))] {
        let mut walk = Walk::to(Phase::Quiesce);
        answer(&mut walk, &too_large);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unsearched(instance))));
        walk.say(Fact::Waived(waived));
        assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Disable));
    }
    // A search that was only slow is repeated first.
    let mut walk = Walk::to(Phase::Quiesce);
    let late = [(instance, SearchLimit::Time)];
    answer(&mut walk, &late);
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Quiesce));
    walk.wait(walk.state.plan().policy.unit_ms_max);
    answer(&mut walk, &late);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unsearched(instance))));
}

#[test]
fn the_gate_shuts_behind_the_disable_and_on_the_way_back_too() {
    let instance = walk::who(ConsumerId(0));
    let unsearched = [(instance, SearchLimit::Time)];
    let mut decide = Walk::to(Phase::Decide);
    answer(&mut decide, &unsearched);
    assert_eq!(decide.state.phase(), Phase::Quiesce);
    let mut back = Walk::to(Phase::RollingBack);
    for _ in 0..60 {
        if wants(&back.state).contains(&Want::Ask(Query::Enumerate)) {
            answer(&mut back, &unsearched);
        } else {
            back.go_on();
        }
    }
    assert_eq!((back.state.phase(), back.first_op()), (Phase::RollingBack, None));
    let deletes = |walk: &Walk| walk.said.iter().any(|event| event.fact == Fact::Intended(Op::DeleteNew));
    assert!(!deletes(&back));
    back.say(look(&back, &[(instance, SearchLimit::Size)]));
    assert_eq!(back.state.hold(), Some(Hold::Paused(Reason::Unsearched(instance))));
    back.say(Fact::Waived(Waived::Holder(instance)));
    back.until(|state| state.ended());
    assert!(deletes(&back));
}

#[test]
fn a_process_that_held_the_value_must_be_searched_to_be_clear() {
    let holder = process(177);
    let mut walk = Walk::to(Phase::Quiesce);
    let Fact::Enumerated(mut seen) = look(&walk, &[]) else { unreachable!() };
    seen.instances.push(ObservedInstance {
        who: holder,
        consumer: None,
        slot: 0,
        old: Visibility::Yes,
        new: Visibility::No,
        by: FoundBy::Memory,
    });
    walk.say(Fact::Enumerated(seen));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Holder(holder))));
    walk.say(Fact::Resumed);
    walk.say(look(&walk, &[(holder, SearchLimit::Size), (process(9), SearchLimit::Size)]));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unsearched(holder))));
    walk.say(Fact::Waived(Waived::Holder(holder)));
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Disable));
}

#[test]
fn a_consent_counts_the_processes_that_were_not_searched() {
    let [one, two, three] = [1, 2, 3].map(|pid| (process(pid), SearchLimit::Size));
    let consented = |at_consent: &[(Incarnation, SearchLimit)], then: &[(Incarnation, SearchLimit)]| {
        let mut walk = Walk::to(Phase::Decide);
        let digest = asked(&mut walk, at_consent);
        walk.say(Fact::Consented(digest));
        answer(&mut walk, then);
        answer(&mut walk, then);
        (walk, digest)
    };
    for then in [&[one, two][..], &[two], &[]] {
        assert!(decides(&consented(&[one, two], then).0), "{then:?}");
    }
    for then in [&[one, two, three][..], &[one, three], &[three]] {
        let (mut walk, digest) = consented(&[one, two], then);
        assert!(!decides(&walk), "{then:?}");
        // The next question is about all of them: what was searched at one look only is not asked about for ever.
        let next = asked(&mut walk, then);
        assert_ne!(next, digest);
        walk.say(Fact::Consented(next));
        answer(&mut walk, &[one, two]);
        answer(&mut walk, &[one, two]);
        assert!(decides(&walk), "{then:?}");
    }
}

#[test]
fn a_standing_consent_counts_nothing() {
    let mut plan = walk::plan();
    plan.policy.standing_consent = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Decide);
    let (slow, large) = ([(process(1), SearchLimit::Time)], [(process(1), SearchLimit::Size)]);
    let mut at_once = walk.clone();
    asked(&mut at_once, &large);
    // A slow search is repeated before the operator is asked.
    for _ in 0..6 {
        answer(&mut walk, &slow);
        assert!(!decides(&walk) && !wants(&walk.state).iter().any(|want| matches!(want, Want::Person(_))));
    }
    let mut later = walk.clone();
    for _ in 0..4 {
        answer(&mut walk, &[]);
    }
    assert!(decides(&walk), "{:?}", wants(&walk.state));
    later.wait(later.state.plan().policy.unit_ms_max);
    asked(&mut later, &slow);
}
