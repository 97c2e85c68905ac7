//! How a roll is paced: waves, the canary, hosts, pauses; and how many consumers a roll may have.

use keyroll_rotation::{
    Adoptee, Awaited, Canary, Consumer, ConsumerId, Delivery, Emergency, Fact, FileId, Hold, HostId, Kinds,
    Op, Outcome, Overlap, PROTOCOL, Phase, Plan, PlanDefect, PreflightSeen, ProbeResult, Proof, Query,
    Reason, Reconciled, ReloadMode, RollPolicy, Stamp, State, UnitStep, Until, Waived, Want, Which, step,
    waiting, wants,
};

use crate::walk::{Walk, plan, proof_of, who_of};

const FIRST: ConsumerId = ConsumerId(0);
const PACE: RollPolicy =
    RollPolicy { canary: Canary::Consumer, bake_ms: 0, ask: false, pause_ms: 0, hosts_max: 1 };

/// Consumers that are restarted, each with a file of its own, on the host and in the wave that is given.
fn paced(roll: RollPolicy, consumers: &[(u16, u8)]) -> Plan {
    let mut plan = plan();
    let one = plan.consumers[0].clone();
    plan.files = consumers.iter().map(|(host, _)| HostId(*host)).collect();
    plan.consumers = (0..)
        .zip(consumers)
        .map(|(at, (host, wave))| Consumer {
            host: HostId(*host),
            files: vec![FileId(at)],
            wave: *wave,
            ..one.clone()
        })
        .collect();
    plan.policy.roll = Some(roll);
    plan
}

/// The consumers in the order in which they were first restarted with the new value, and how often each was.
fn restarted(walk: &Walk) -> Vec<(u16, u8)> {
    let mut all = Vec::new();
    for event in &walk.said {
        if let Fact::Intended(Op::Apply(consumer, slot, Which::New)) = event.fact {
            all.push((consumer.0, slot));
        }
    }
    all
}

fn does_something(state: &State) -> bool {
    wants(state).iter().any(|want| matches!(want, Want::Do(_)))
}

/// A look at a consumer that shows that all is well, after so long.
fn look_after(walk: &mut Walk, ms: u64, at: u16) {
    walk.wait(ms);
    let asked = |want: &Want| matches!(want, Want::Ask(Query::Prove(of, ..)) if of.0 == at);
    let wanted = wants(&walk.state).into_iter().find(asked);
    if let Some(Want::Ask(query)) = wanted {
        let seen = walk.see(&query);
        walk.say(seen);
    }
}

/// The canary is proven, and nothing is begun.
fn watched(roll: RollPolicy, slots: u8) -> Walk {
    let mut plan = paced(roll, &[(0, 0), (0, 0)]);
    plan.consumers[0].slots = slots;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    assert!(!does_something(&walk.state), "{:?}", wants(&walk.state));
    walk
}

#[test]
fn a_wave_begins_when_the_one_before_has_arrived() {
    let mut walk = Walk::of(paced(PACE, &[(0, 2), (0, 1), (0, 0), (0, 1)]));
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(restarted(&walk), [(2, 0), (1, 0), (3, 0), (0, 0)]);
}

#[test]
fn a_wave_does_not_begin_while_one_of_the_wave_before_is_on_its_way() {
    let mut plan = paced(RollPolicy { hosts_max: 9, ..PACE }, &[(0, 0), (1, 1), (2, 1), (3, 2)]);
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    let mut state = State::open(walk.state.plan().clone(), Stamp { ms: 0, boot: 1, epoch: 0 }).unwrap();
    let mut together = false;
    for event in &walk.said {
        let (next, _) = step(&state, event).unwrap();
        let begins =
            |at: usize| state.units()[at].stage == UnitStep::Waiting && next.units()[at].stage.is_moving();
        let arrived = |at: usize| next.units()[at].stage == UnitStep::Settled;
        together |= begins(1) && begins(2);
        assert!(!begins(3) || (arrived(1) && arrived(2)), "{event:?}");
        state = next;
    }
    assert!(together, "the consumers of one wave may be moved at once");
}

#[test]
fn the_first_instance_is_watched_before_the_second_is_restarted() {
    let roll = RollPolicy { canary: Canary::Instance, bake_ms: 5_000, ..PACE };
    let mut walk = watched(roll, 3);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Proving(0));
    let asked = Query::Prove(FIRST, Some(0), Which::New);
    assert!(wants(&walk.state).contains(&Want::Ask(asked.clone())), "its evidence is read again");
    let since = walk.state.units()[0].since.ms;
    let waits = waiting(&walk.state).unwrap();
    assert_eq!((waits.what, waits.until), (Awaited::Watch(FIRST), Until::Ms(since + 5_000)));
    let proof = walk.see(&asked);
    walk.say(proof);
    let left = since + 5_000 - walk.at.ms;
    look_after(&mut walk, left - 3, 0);
    assert!(!does_something(&walk.state), "a millisecond too early");
    walk.wait(0);
    walk.wait(30_000);
    assert!(!does_something(&walk.state), "no look has shown that it worked for so long");
    look_after(&mut walk, 0, 0);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(1));
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(restarted(&walk), [(0, 0), (0, 1), (0, 2), (1, 0)]);
}

#[test]
fn the_whole_first_consumer_is_watched_before_another_begins() {
    let mut walk = watched(RollPolicy { bake_ms: 5_000, ..PACE }, 2);
    assert_eq!(restarted(&walk), [(0, 0), (0, 1)]);
    let all = Query::Prove(FIRST, None, Which::New);
    assert!(wants(&walk.state).contains(&Want::Ask(all)), "every instance is looked at");
    look_after(&mut walk, 5_000, 0);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
}

#[test]
fn a_canary_that_is_not_seen_to_work_is_watched_anew() {
    let roll = RollPolicy { canary: Canary::Instance, bake_ms: 5_000, ..PACE };
    for driver in [true, false] {
        let mut walk = watched(roll, 2);
        look_after(&mut walk, 4_000, 0);
        if driver {
            walk.another_driver();
        } else {
            // Its process has ended, and nothing runs in its place.
            walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: false });
            assert!(!walk.state.units()[0].watched);
            walk.wait(1_000);
            assert!(!does_something(&walk.state));
            let proof = walk.see(&Query::Prove(FIRST, Some(0), Which::New));
            walk.say(proof);
        }
        look_after(&mut walk, 4_000, 0);
        assert!(!does_something(&walk.state), "it was watched for 4 s");
        look_after(&mut walk, 1_000, 0);
        assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(1));
    }
}

#[test]
fn a_canary_that_ends_and_stays_away_fails_by_its_deadline() {
    for canary in [Canary::Instance, Canary::Consumer] {
        let mut walk = watched(RollPolicy { canary, bake_ms: 60_000, ..PACE }, 2);
        let gone = Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: false };
        walk.say(gone.clone());
        walk.wait(9_000);
        walk.say(gone);
        assert_eq!(walk.state.units()[0].toward, Which::New);
        walk.wait(1_000);
        assert_eq!(walk.state.units()[0].toward, Which::Old);
    }
}

#[test]
fn a_canary_that_reads_its_file_again_by_itself_passes_after_its_time() {
    let mut plan = paced(RollPolicy { bake_ms: 5_000, ..PACE }, &[(0, 0), (0, 0)]);
    plan.consumers[0].uptake = ReloadMode::Rereads;
    plan.consumers[0].slots = 2;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    look_after(&mut walk, 5_000, 0);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
}

#[test]
fn a_canary_that_runs_in_another_process_is_watched_anew() {
    let mut walk = watched(RollPolicy { bake_ms: 5_000, ..PACE }, 1);
    walk.wait(4_000);
    let other = |pid| Proof { who: who_of(FIRST, pid), ..proof_of(FIRST, 0, Which::New) };
    // One worker of several that is replaced is nothing new.
    let (one, two) = (proof_of(FIRST, 0, Which::New), other(6));
    walk.say(Fact::Proved { consumer: FIRST, proofs: vec![one, two], trouble: false });
    walk.say(Fact::Proved { consumer: FIRST, proofs: vec![one, other(7)], trouble: false });
    let mut worker = walk.clone();
    look_after(&mut worker, 1_000, 0);
    assert_eq!(worker.state.units()[1].stage, UnitStep::Delivering);
    let new = Fact::Proved { consumer: FIRST, proofs: vec![other(8)], trouble: false };
    walk.say(new.clone());
    walk.wait(4_000);
    walk.say(new.clone());
    assert_eq!(walk.state.units()[1].stage, UnitStep::Waiting, "the new process was watched for 4 s");
    walk.wait(1_000);
    walk.say(new);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
}

#[test]
fn a_check_that_fails_while_the_canary_is_watched_counts() {
    let mut walk = watched(RollPolicy { bake_ms: 60_000, ..PACE }, 1);
    let mut fails = proof_of(FIRST, 0, Which::New);
    fails.paths[0] = Kinds::DELIVERED.and(Kinds::LOADED);
    let fails = Fact::Proved { consumer: FIRST, proofs: vec![fails], trouble: false };
    walk.say(fails.clone());
    assert!(!walk.state.units()[0].watched);
    // It succeeds again: watched anew. It goes on failing: the canary goes back alone.
    let mut again = walk.clone();
    let proof = again.see(&Query::Prove(FIRST, None, Which::New));
    again.say(proof);
    assert!(again.state.units()[0].watched);
    walk.wait(9_000);
    walk.say(fails);
    assert_eq!(walk.state.units()[0].toward, Which::New);
    walk.wait(1_000);
    assert_eq!(walk.state.units()[0].toward, Which::Old);
}

#[test]
fn a_whole_canary_is_watched_in_each_of_its_instances() {
    let mut walk = watched(RollPolicy { bake_ms: 5_000, ..PACE }, 2);
    let other = Proof { who: who_of(FIRST, 7), ..proof_of(FIRST, 0, Which::Old) };
    let proofs = vec![other, proof_of(FIRST, 1, Which::New)];
    walk.say(Fact::Proved { consumer: FIRST, proofs, trouble: false });
    assert!(!walk.state.units()[0].watched, "its first instance was restarted, and has the old value");
    walk.wait(5_000);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Waiting);
}

#[test]
fn a_canary_in_trouble_goes_back_alone_and_nobody_else_had_the_new_value() {
    for canary in [Canary::Instance, Canary::Consumer] {
        let mut walk = watched(RollPolicy { canary, bake_ms: 5_000, ..PACE }, 2);
        walk.wait(4_000);
        walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: true });
        walk.until(|state| state.hold().is_some());
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
        assert_eq!(walk.state.units()[0].toward, Which::Old);
        assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
        assert_eq!((walk.state.units()[1].stage, walk.state.units()[1].moved), (UnitStep::Waiting, 0));
        // Resumed, it is the canary again.
        walk.say(Fact::Resumed);
        walk.until(|state| state.units()[0].watched);
        assert!(!does_something(&walk.state));
    }
}

#[test]
fn nobody_begins_while_a_failed_unit_goes_back_alone() {
    let mut plan = paced(RollPolicy { hosts_max: 9, ..PACE }, &[(0, 0), (1, 0), (2, 0)]);
    plan.policy.parallel_max = 1;
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
    walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: true });
    while walk.state.hold().is_none() {
        assert!(walk.state.units().iter().skip(1).all(|unit| unit.stage == UnitStep::Waiting));
        walk.go_on();
    }
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
    assert!(walk.state.units().iter().skip(1).all(|unit| unit.moved == 0));
}

#[test]
fn the_operator_is_asked_after_the_canary_and_may_go_on_or_back() {
    let roll = RollPolicy { canary: Canary::Instance, bake_ms: 2_000, ask: true, ..PACE };
    let mut walk = watched(roll, 2);
    assert_eq!(walk.state.hold(), None);
    look_after(&mut walk, 2_000, 0);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Canary(FIRST))));
    walk.wait(60_000);
    walk.another_driver();
    assert!(!does_something(&walk.state));
    let (mut back, mut died) = (walk.clone(), walk.clone());
    walk.say(Fact::Resumed);
    assert!(!does_something(&walk.state), "nobody has looked at it since");
    look_after(&mut walk, 0, 0);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(1));
    walk.until(|state| state.phase() == Phase::Done);
    back.say(Fact::AbortAsked);
    back.until(|state| state.phase() == Phase::RolledBack);
    assert_eq!(restarted(&back), [(0, 0)]);
    // It died while the operator was asked, and fails; what the operator said was not about the next try.
    died.say(Fact::Resumed);
    died.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: true });
    died.until(|state| state.hold().is_some());
    assert_eq!(died.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
    died.say(Fact::Resumed);
    died.until(|state| state.hold().is_some());
    assert_eq!(died.state.hold(), Some(Hold::Paused(Reason::Canary(FIRST))));
}

#[test]
fn a_canary_that_fails_while_the_operator_is_asked_goes_back_alone() {
    let mut walk = watched(RollPolicy { bake_ms: 2_000, ask: true, ..PACE }, 1);
    look_after(&mut walk, 2_000, 0);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Canary(FIRST))));
    // This look was under way.
    walk.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: true });
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
    assert_eq!(walk.state.units()[1].moved, 0);
}

#[test]
fn a_waived_program_that_reads_the_store_again_passes_after_its_time() {
    let mut plan = paced(RollPolicy { bake_ms: 2_000, ..PACE }, &[(0, 0)]);
    let follower = &mut plan.consumers[0];
    (follower.delivery, follower.uptake, follower.files) =
        (Delivery::Follow, ReloadMode::Rereads, Vec::new());
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
    walk.say(Fact::Waived(Waived::NotVisible(FIRST)));
    let nothing = Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: false };
    walk.wait(10_000);
    assert!(walk.state.units()[0].watched, "{:?}", walk.state.units());
    walk.say(nothing.clone());
    walk.wait(2_000);
    walk.say(nothing);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Settled);
}

#[test]
fn a_canary_that_nobody_can_look_at_is_not_watched_for_ever() {
    let mut walk = watched(RollPolicy { bake_ms: 5_000, ..PACE }, 1);
    let since = walk.state.units()[0].since.ms;
    walk.wait(39_000);
    assert!(walk.state.units()[0].watched);
    let waits = waiting(&walk.state).unwrap();
    assert_eq!((waits.what, waits.until), (Awaited::Watch(FIRST), Until::Ms(since + 40_000)));
    walk.wait(1_000);
    assert!(!walk.state.units()[0].watched, "what was seen so long ago is not known any more");
    assert!(!does_something(&walk.state));
    walk.wait(10_000);
    assert_eq!(walk.state.units()[0].toward, Which::Old);
}

#[test]
fn a_consumer_that_is_adopted_later_is_not_the_canary() {
    let mut plan = paced(RollPolicy { bake_ms: 5_000, ..PACE }, &[(0, 1), (0, 1)]);
    plan.policy.parallel_max = 1;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    let consumer = Consumer { wave: 0, files: vec![FileId(2)], ..walk.state.plan().consumers[0].clone() };
    walk.say(Fact::Adopted {
        consumer,
        files: vec![HostId(0)],
        explains: Adoptee::Copy(7),
        names: "".into(),
    });
    assert!(walk.state.units()[0].watched, "it is the canary still");
    assert!(!does_something(&walk.state));
}

/// A process on the second host that is adopted in this wave.
fn adopt(walk: &mut Walk, wave: u8) {
    let file = FileId(u16::try_from(walk.state.plan().files.len()).unwrap());
    let of = walk.state.plan().consumers[0].clone();
    let (delivery, uptake) = (Delivery::Push, ReloadMode::Verb);
    let consumer = Consumer { wave, files: vec![file], host: HostId(1), delivery, uptake, ..of };
    let explains = Adoptee::Copy(7);
    walk.say(Fact::Adopted { consumer, files: vec![HostId(1)], explains, names: "".into() });
}

/// The canary is in a later wave than a consumer that was adopted meanwhile. Red: each waits for the other, for ever, and the
/// rotation says nothing.
#[test]
fn a_consumer_that_is_adopted_in_an_earlier_wave_does_not_hold_up_the_canary() {
    for protocol in [17, PROTOCOL] {
        let mut plan = paced(PACE, &[(0, 1), (0, 2)]);
        plan.protocol = protocol;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Stage);
        adopt(&mut walk, 0);
        walk.until(|state| state.phase() == Phase::Roll);
        if protocol == PROTOCOL {
            walk.until(|state| state.phase() == Phase::Quiesce);
            assert_eq!(restarted(&walk), [(0, 0), (2, 0), (1, 0)], "the canary, and then the waves");
        } else {
            assert!(wants(&walk.state).is_empty(), "an earlier rotation is read as it was");
        }
    }
}

/// The consumers fetch the value, and a process that was adopted has a file. Red: it waits for the canary, and nothing is given out
/// to the canary before it.
#[test]
fn a_consumer_that_is_adopted_with_a_file_does_not_hold_up_a_canary_that_fetches() {
    let mut plan = paced(PACE, &[(0, 0), (0, 0)]);
    plan.consumers.iter_mut().for_each(|it| it.delivery = Delivery::Fetch);
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Stage);
    adopt(&mut walk, 0);
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(restarted(&walk), [(0, 0), (2, 0), (1, 0)]);
}

/// The hosts of everybody who might be the canary have left. Red: who was adopted elsewhere waits for a canary for ever.
#[test]
fn where_every_host_of_the_canary_has_left_the_others_begin_without_one() {
    let mut walk = Walk::of(paced(PACE, &[(0, 0), (0, 0)]));
    walk.until(|state| state.phase() == Phase::Stage);
    adopt(&mut walk, 0);
    walk.until(|state| state.phase() == Phase::Roll);
    walk.say(Fact::Waived(Waived::Host(HostId(0))));
    walk.until(|state| state.units()[2].has_arrived());
    assert_eq!(restarted(&walk), [(2, 0)]);
}

#[test]
fn the_consumers_of_the_first_host_are_the_canary_together() {
    let roll = RollPolicy { canary: Canary::Host, bake_ms: 5_000, hosts_max: 9, ..PACE };
    let mut plan = paced(roll, &[(1, 0), (2, 0), (1, 0), (1, 1)]);
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched && state.units()[2].watched);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Waiting, "another host");
    assert_eq!(walk.state.units()[3].stage, UnitStep::Waiting, "another wave");
    assert!(!does_something(&walk.state));
    look_after(&mut walk, 5_000, 0);
    look_after(&mut walk, 0, 2);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(restarted(&walk), [(0, 0), (2, 0), (1, 0), (3, 0)]);
}

#[test]
fn the_consumers_of_a_canary_go_one_at_a_time_also_through_their_pauses() {
    let roll = RollPolicy { canary: Canary::Host, bake_ms: 5_000, pause_ms: 3_000, ..PACE };
    let mut plan = paced(roll, &[(0, 0), (0, 0)]);
    plan.consumers[0].slots = 2;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Proving(0));
    assert_eq!(walk.state.units()[1].stage, UnitStep::Waiting, "the first one has an instance left");
    walk.until(|state| state.units()[0].stage == UnitStep::Proving(1) && state.units()[0].watched);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
}

#[test]
fn as_many_hosts_as_the_plan_says_are_moved_at_once() {
    for (hosts_max, expected) in [(1, 1), (2, 2)] {
        let roll = RollPolicy { hosts_max, ..PACE };
        let mut plan = paced(roll, &[(0, 0), (1, 0), (1, 0), (2, 0), (2, 0), (3, 0)]);
        plan.policy.parallel_max = 4;
        let mut walk = Walk::of(plan);
        let mut most = 0;
        let mut together = 0;
        while walk.state.phase() != Phase::Quiesce {
            let moving = (0..).zip(walk.state.units()).filter(|(_, unit)| unit.stage.is_moving());
            let mut hosts: Vec<HostId> =
                moving.map(|(at, _): (usize, _)| walk.state.plan().consumers[at].host).collect();
            together = together.max(hosts.len());
            hosts.sort_unstable();
            hosts.dedup();
            most = most.max(hosts.len());
            walk.go_on();
        }
        assert_eq!(most, expected);
        assert!(together > expected, "two consumers of one host are moved at once");
    }
}

#[test]
fn nothing_begins_during_a_pause() {
    let mut plan = paced(RollPolicy { pause_ms: 5_000, ..PACE }, &[(0, 0), (0, 0)]);
    plan.consumers[0].slots = 2;
    let mut walk = Walk::of(plan);
    // Between two instances.
    walk.until(|state| state.units()[0].watched);
    assert!(!does_something(&walk.state));
    walk.wait(4_000);
    walk.another_driver();
    walk.wait(4_000);
    assert!(!does_something(&walk.state), "another driver has not measured the first 4 s");
    walk.wait(1_000);
    assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(1));
    // Between two consumers.
    walk.until(|state| state.units()[0].stage == UnitStep::Settled);
    assert!(!does_something(&walk.state));
    let waits = waiting(&walk.state).unwrap();
    assert_eq!((waits.what, waits.until), (Awaited::Pause, Until::Ms(walk.at.ms + 5_000)));
    walk.wait(4_000);
    walk.another_driver();
    walk.wait(4_000);
    assert!(!does_something(&walk.state));
    walk.wait(1_000);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn a_pause_between_its_instances_does_not_let_the_canary_pass() {
    for bake_ms in [0, 1_000] {
        let mut plan = paced(RollPolicy { bake_ms, pause_ms: 5_000, ..PACE }, &[(0, 0), (0, 0)]);
        plan.consumers[0].slots = 2;
        plan.policy.parallel_max = 2;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.units()[0].watched);
        walk.wait(10_000);
        walk.wait(10_000);
        assert_eq!(walk.state.units()[1].stage, UnitStep::Waiting, "the second instance has the old value");
    }
}

#[test]
fn a_grace_is_time_for_a_pace_and_a_dead_key_is_not() {
    let roll = RollPolicy { bake_ms: 5_000, ..PACE };
    let mut plan = paced(roll, &[(0, 0), (0, 0)]);
    plan.capabilities.overlap = Overlap::Grace { ms: 1_000_000 };
    let mut walk = Walk::of(plan.clone());
    walk.until(|state| state.units()[0].watched);
    assert!(!does_something(&walk.state));
    // Not enough of it is left, or nobody knows how much.
    let mut late = walk.clone();
    walk.another_driver();
    assert_eq!(walk.state.units()[1].stage, UnitStep::Delivering);
    for _ in 0..90 {
        late.wait(9_000);
        late.say(Fact::Proved { consumer: FIRST, proofs: Vec::new(), trouble: false });
        let proof = late.see(&Query::Prove(FIRST, None, Which::New));
        late.say(proof);
    }
    assert_eq!(late.state.units()[0].stage, UnitStep::Proving(0), "it is watched anew again and again");
    late.wait(60_000);
    assert_eq!(late.state.units()[1].stage, UnitStep::Delivering);
    plan.recovery = true;
    let mut walk = Walk::of(plan);
    let before = walk.at.ms;
    let (control, current) = (ProbeResult::Dead, ProbeResult::Dead);
    walk.say(Fact::Preflight(PreflightSeen { clear: true, control, current }));
    walk.until(|state| state.phase() != Phase::Roll && state.units()[1].stage == UnitStep::Settled);
    assert!(walk.at.ms - before < 5_000, "nobody waits where the old key is dead");
}

#[test]
fn an_emergency_waits_for_no_wave_host_pause_or_canary() {
    let roll =
        RollPolicy { canary: Canary::Instance, bake_ms: 9_000, ask: true, pause_ms: 9_000, hosts_max: 1 };
    let mut plan = paced(roll, &[(0, 0), (1, 1), (2, 2)]);
    plan.consumers[0].slots = 2;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    let before = walk.at.ms;
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false });
    assert_eq!(walk.state.units()[0].stage, UnitStep::Applying(1));
    walk.until(|state| state.units()[0].stage == UnitStep::Settled);
    assert!(walk.state.units().iter().skip(1).all(|unit| unit.stage.is_moving()), "all others at once");
    walk.until(|state| state.phase() != Phase::Roll);
    assert!(walk.at.ms - before < 9_000, "nobody waited");
}

#[test]
fn what_pulls_its_value_has_a_canary_of_its_own_only_where_nothing_is_written() {
    let mut plan = paced(RollPolicy { bake_ms: 5_000, ..PACE }, &[(0, 0), (0, 0), (0, 0)]);
    for consumer in &mut plan.consumers {
        consumer.delivery = Delivery::Fetch;
    }
    let mut walk = Walk::of(plan.clone());
    walk.until(|state| state.units()[0].watched);
    assert!(walk.state.promoted() && !does_something(&walk.state));
    plan.consumers[2].delivery = Delivery::Push;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[2].watched);
    assert!(
        !walk.state.promoted(),
        "nothing that reads the store gets the new value before the canary has passed"
    );
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(restarted(&walk), [(2, 0), (0, 0), (1, 0)]);
}

#[test]
fn a_pace_that_cannot_be_kept_is_refused() {
    let check = |change: &dyn Fn(&mut Plan)| {
        let mut plan = paced(PACE, &[(0, 1), (0, 0)]);
        change(&mut plan);
        plan.check().and_then(|()| plan.fits()).err()
    };
    assert_eq!(check(&|_| {}), None);
    let fetches_first = |plan: &mut Plan| plan.consumers[1].delivery = Delivery::Fetch;
    assert_eq!(check(&fetches_first), Some(PlanDefect::Waves));
    let no_host = |plan: &mut Plan| plan.policy.roll = Some(RollPolicy { hosts_max: 0, ..PACE });
    assert_eq!(check(&no_host), Some(PlanDefect::ZeroCount));
    let grace = |plan: &mut Plan| plan.capabilities.overlap = Overlap::Grace { ms: 1_000_000 };
    assert_eq!(check(&grace), None);
    let asks = |plan: &mut Plan| {
        grace(plan);
        plan.policy.roll = Some(RollPolicy { ask: true, bake_ms: 1, ..PACE });
    };
    assert_eq!(check(&asks), Some(PlanDefect::CanaryAsks));
    let bakes = |plan: &mut Plan| {
        grace(plan);
        plan.policy.roll = Some(RollPolicy { bake_ms: 900_000, ..PACE });
    };
    assert!(matches!(check(&bakes), Some(PlanDefect::GraceTooShort { .. })));
}

#[test]
fn no_consumer_fails_because_nobody_knows_what_happened_to_another() {
    let mut plan = paced(RollPolicy { hosts_max: 9, ..PACE }, &[(0, 0), (1, 0), (2, 0)]);
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    let (one, other) = (Op::Apply(ConsumerId(1), 0, Which::New), Op::Apply(ConsumerId(2), 0, Which::New));
    walk.until(|state| wants(state).contains(&Want::Do(other.clone())));
    let intent = walk.begin(&one);
    walk.end(intent, Outcome::Done(None));
    assert_eq!(walk.state.units()[1].stage, UnitStep::Proving(0));
    let intent = walk.begin(&other);
    walk.end(intent, Outcome::Unknown);
    // Nobody asks the healthy one for its proof meanwhile, however long this takes.
    walk.wait(30_000);
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))]);
    assert_eq!(walk.state.units()[1].toward, Which::New);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
    assert!(walk.state.units().iter().all(|unit| unit.toward == Which::New), "{:?}", walk.state.units());
    walk.until(|state| state.phase() == Phase::Quiesce);
}

#[test]
fn a_hundred_consumers_are_moved_and_rolled_back() {
    let consumers = vec![(0, 0); 100];
    for roll in [None, Some(PACE)] {
        let mut plan = paced(PACE, &consumers);
        plan.policy.roll = roll;
        let mut walk = Walk::of(plan.clone());
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until(|state| state.phase() == Phase::RolledBack);
        let mut walk = Walk::of(plan);
        walk.until(|state| state.units()[0].stage.is_moving());
        walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false });
        walk.until(|state| state.units()[0].stage == UnitStep::Settled);
        assert!(walk.state.units().iter().skip(1).all(|unit| unit.stage.is_moving()), "all others at once");
    }
}
