//! Hosts that were waived: nothing is asked of what is on them while they are away, and everything once they are back.

use keyroll_rotation::{
    Blocker, Canary, Consumer, ConsumerId, Delivery, Emergency, EndpointId, Enumeration, Event, Fact, FileId,
    Hold, Holds, HostId, ObservedInstance, OldKey, OnFailure, Op, Outcome, PROTOCOL, Phase, Plan,
    ProbeResult, Query, Reason, ReloadMode, RollPolicy, State, UnitStep, Visibility, Waived, Want, Which,
    blockers, canary, consent_digest, step, wants,
};

use crate::walk::{Walk, plan, proof, who_of};

const GONE: HostId = HostId(2);
const AWAY: ConsumerId = ConsumerId(1);
/// The operator is asked about the canary.
const ASKED: RollPolicy =
    RollPolicy { canary: Canary::Consumer, bake_ms: 5_000, ask: true, pause_ms: 0, hosts_max: 9 };

/// One consumer on each of two hosts, and one endpoint for each; on the host that leaves it is the second.
fn two_hosts() -> Plan {
    let mut plan = plan();
    let one = Consumer { uptake: ReloadMode::Verb, ..plan.consumers[0].clone() };
    plan.files = vec![HostId(1), GONE];
    plan.endpoints = vec![HostId(0), GONE];
    plan.consumers = vec![
        Consumer { host: HostId(1), files: vec![FileId(0)], ..one.clone() },
        Consumer { host: GONE, files: vec![FileId(1)], ..one },
    ];
    plan
}

/// A look in which the host does not answer.
fn look_without(walk: &Walk) -> Enumeration {
    let mut seen = walk.look();
    seen.instances.retain(|it| it.consumer != Some(AWAY));
    seen.files.retain(|(file, _)| *file != FileId(1));
    seen.absent = vec![GONE];
    seen
}

/// Goes on while the host is away: an operation there fails with an unknown outcome, and looks do not show it.
fn go_on_without(walk: &mut Walk) {
    walk.each_wanted(|walk, want| match want {
        Want::Do(op @ (Op::Deliver(FileId(1), _) | Op::Apply(AWAY, ..))) => {
            let intent = walk.begin(&op);
            walk.end(intent, Outcome::Failed { retry: false });
        }
        Want::Do(op) => {
            let intent = walk.begin(&op);
            let made = (op == Op::Mint).then(|| keyroll_rotation::CredId::new("new"));
            walk.end(intent, Outcome::Done(made));
        }
        Want::Ask(Query::Enumerate) => walk.say(Fact::Enumerated(look_without(walk))),
        Want::Ask(Query::Probe(endpoint @ EndpointId(1), version)) => {
            let control = (version == Which::Old).then_some(ProbeResult::Unknown);
            walk.say(Fact::Probed { endpoint, version, answer: ProbeResult::Unknown, control });
        }
        Want::Ask(query) => {
            let seen = walk.see(&query);
            walk.say(seen);
        }
        Want::Decide(digest) => walk.say(Fact::Decided(digest)),
        Want::Wait(ms) => walk.wait(ms),
        Want::Person(keyroll_rotation::Person::Consent(digest)) => walk.say(Fact::Consented(digest)),
        Want::Person(_) => unreachable!("an API makes and revokes the key"),
    });
}

fn until_without(walk: &mut Walk, arrived: impl Fn(&State) -> bool) {
    for _ in 0..2_000 {
        if arrived(&walk.state) {
            return;
        }
        go_on_without(walk);
    }
    panic!("{:?} {:?} {:?}", walk.state.phase(), walk.state.hold(), wants(&walk.state));
}

fn waive(walk: &mut Walk) {
    walk.say(Fact::Waived(Waived::Host(GONE)));
}

#[test]
fn a_rotation_without_a_host_that_was_waived_ends_and_revokes_the_old_key() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Roll);
    waive(&mut walk);
    until_without(&mut walk, |state| state.phase() == Phase::Done);
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    let touched = |fact: &Fact| {
        matches!(fact, Fact::Intended(Op::Deliver(FileId(1), _) | Op::Apply(AWAY, ..)))
            || matches!(fact, Fact::Probed { endpoint, .. } if endpoint.0 == 1)
    };
    let after = walk.said.iter().skip_while(|event| !matches!(event.fact, Fact::Waived(_)));
    assert!(!after.into_iter().any(|event| touched(&event.fact)), "nothing is asked of what is there");
}

#[test]
fn a_look_without_a_host_that_nobody_waived_proves_nothing() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::Enumerated(look_without(&walk)));
    assert_eq!(walk.state.phase(), Phase::Quiesce);
    assert!(!walk.state.look().unwrap().whole);
    waive(&mut walk);
    assert_eq!(walk.state.phase(), Phase::Quiesce, "a look from before the waiver does not count");
    assert!(wants(&walk.state).contains(&Want::Ask(Query::Enumerate)));
    walk.say(Fact::Enumerated(look_without(&walk)));
    assert_ne!(walk.state.phase(), Phase::Quiesce);
}

#[test]
fn another_host_that_does_not_answer_is_not_covered_by_the_waiver() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    waive(&mut walk);
    let mut seen = look_without(&walk);
    seen.absent.push(HostId(1));
    walk.say(Fact::Enumerated(seen));
    assert_eq!(walk.state.phase(), Phase::Quiesce);
    assert!(!walk.state.look().unwrap().whole);
}

#[test]
fn what_an_incomplete_look_misses_elsewhere_stays_missing() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    waive(&mut walk);
    walk.say(Fact::Enumerated(Enumeration { complete: false, ..look_without(&walk) }));
    assert!(!walk.state.look().unwrap().whole);
}

/// The host is back, as it was before the rotation.
fn back_as_it_was(walk: &Walk) -> Enumeration {
    let mut seen = walk.look();
    seen.instances.retain(|it| it.consumer != Some(AWAY));
    seen.instances.push(ObservedInstance {
        who: who_of(AWAY, 0),
        consumer: Some(AWAY),
        slot: 0,
        old: Visibility::Yes,
        new: Visibility::No,
        by: keyroll_rotation::FoundBy::Configured,
    });
    seen.files.retain(|(file, _)| *file != FileId(1));
    seen.files.push((FileId(1), Holds::Old));
    seen
}

#[test]
fn a_host_that_is_back_before_the_end_is_moved_like_every_other() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Roll);
    waive(&mut walk);
    until_without(&mut walk, |state| state.phase() == Phase::Quiesce);
    assert!(walk.state.has_left(GONE));
    walk.say(Fact::Enumerated(back_as_it_was(&walk)));
    assert!(!walk.state.has_left(GONE), "the waiver counts only while the host is away");
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Roll, None));
    let from = walk.said.len();
    walk.until(|state| state.phase() == Phase::Quiesce);
    let done = |op: &Op| walk.said[from..].iter().any(|event| event.fact == Fact::Intended(op.clone()));
    assert!(done(&Op::Deliver(FileId(1), Which::New)) && done(&Op::Apply(AWAY, 0, Which::New)));
    walk.until(|state| state.phase() == Phase::Done);
}

/// Red: a process that is back with a value that leaked and was abandoned is neither stale nor proven, and nobody moves it.
#[test]
fn a_host_that_is_back_with_neither_version_is_moved_in_each_slot() {
    for protocol in [17, PROTOCOL] {
        let mut plan = Plan { protocol, ..two_hosts() };
        plan.consumers[1].slots = 2;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Roll);
        waive(&mut walk);
        until_without(&mut walk, |state| state.phase() == Phase::Quiesce);
        let mut seen = back_as_it_was(&walk);
        let mut there = seen.instances.pop().unwrap();
        there.old = Visibility::No;
        let other = ObservedInstance { who: who_of(AWAY, 1), slot: 1, ..there };
        seen.instances.extend([there, other]);
        // Its file was written before the host was waived.
        seen.files.last_mut().unwrap().1 = Holds::New;
        walk.say(Fact::Enumerated(seen));
        let moved = protocol == PROTOCOL;
        assert_eq!(walk.state.phase(), if moved { Phase::Roll } else { Phase::Quiesce });
        let from = walk.said.len();
        if moved {
            walk.until(|state| state.phase() == Phase::Quiesce);
        }
        let restart = |slot| Fact::Intended(Op::Apply(AWAY, slot, Which::New));
        let done = |slot| walk.said[from..].iter().any(|event| event.fact == restart(slot));
        assert_eq!([done(0), done(1)], [moved; 2], "protocol {protocol}");
    }
}

#[test]
fn a_host_that_is_back_at_the_point_of_no_return_keeps_the_old_key_alive() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Roll);
    waive(&mut walk);
    until_without(&mut walk, |state| state.phase() == Phase::Decide);
    walk.wait(20_000);
    walk.say(Fact::Enumerated(back_as_it_was(&walk)));
    assert!(matches!(walk.state.phase(), Phase::Quiesce | Phase::Roll), "{:?}", walk.state.phase());
    assert_ne!(walk.state.old_key(), OldKey::Ended);
}

#[test]
fn a_consent_does_not_hold_for_a_host_that_is_waived_after_it() {
    let mut walk = Walk::of(two_hosts());
    walk.until(asks_consent);
    let digest = consent_digest(&walk.state).unwrap();
    walk.say(Fact::Consented(digest));
    assert!(!asks_consent(&walk.state));
    waive(&mut walk);
    walk.say(Fact::Enumerated(look_without(&walk)));
    until_without(&mut walk, |state| state.phase() == Phase::Decide && state.look().is_some());
    while !asks_consent(&walk.state) {
        assert!(!walk.state.decided(), "the operator was not asked again");
        go_on_without(&mut walk);
    }
}

fn asks_consent(state: &State) -> bool {
    wants(state).iter().any(|want| matches!(want, Want::Person(keyroll_rotation::Person::Consent(_))))
}

#[test]
fn the_unit_that_failed_there_holds_nothing_up_any_more() {
    for on_failure in [OnFailure::Pause, OnFailure::Rollback] {
        let mut plan = two_hosts();
        plan.policy.on_failure = on_failure;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Roll);
        until_without(&mut walk, |state| state.hold().is_some() || state.phase() == Phase::RollingBack);
        waive(&mut walk);
        assert_eq!(walk.state.hold(), None);
        let end = if on_failure == OnFailure::Pause { Phase::Done } else { Phase::RolledBack };
        until_without(&mut walk, |state| state.phase() == end);
    }
}

#[test]
fn an_operation_there_whose_outcome_is_unknown_is_waited_for_no_more() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    let intent = walk.begin(&Op::Apply(AWAY, 0, Which::New));
    walk.end(intent, Outcome::Unknown);
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))]);
    waive(&mut walk);
    assert!(walk.state.intents().is_empty());
    until_without(&mut walk, |state| state.phase() == Phase::Done);
}

#[test]
fn an_operation_that_was_under_way_there_fails_nobody() {
    for outcome in [Outcome::Failed { retry: false }, Outcome::Unknown] {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
        let intent = walk.begin(&Op::Apply(AWAY, 0, Which::New));
        waive(&mut walk);
        assert_eq!(walk.state.intents().len(), 1, "its answer may still come");
        walk.end(intent, outcome);
        assert_eq!((walk.state.hold(), walk.state.intents().len()), (None, 0));
        assert_eq!(walk.state.units()[1].stage, UnitStep::Settled);
    }
}

#[test]
fn a_rollback_leaves_out_a_host_that_left_and_restores_one_that_came_back() {
    for back in [false, true] {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        waive(&mut walk);
        if back {
            until_without(&mut walk, |state| {
                state.units().iter().all(|unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled)
            });
            let mut seen = walk.look();
            let there = seen.instances.iter_mut().find(|it| it.consumer == Some(AWAY)).unwrap();
            (there.old, there.new) = (Visibility::No, Visibility::Yes);
            let file = seen.files.iter_mut().find(|(file, _)| *file == FileId(1)).unwrap();
            file.1 = Holds::New;
            walk.say(Fact::Enumerated(seen));
            let from = walk.said.len();
            walk.until(|state| state.phase() == Phase::RolledBack);
            let restored = Fact::Intended(Op::Deliver(FileId(1), Which::Old));
            assert!(walk.said[from..].iter().any(|event| event.fact == restored));
        } else {
            until_without(&mut walk, |state| state.phase() == Phase::RolledBack);
        }
    }
}

#[test]
fn a_rollback_restores_the_hosts_that_answer_while_another_one_is_away() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let restored = |state: &State, at: usize| {
        let unit = &state.units()[at];
        unit.toward == Which::Old && unit.stage == UnitStep::Settled
    };
    until_without(&mut walk, |state| restored(state, 0));
    assert_eq!(walk.state.units()[1].toward, Which::New, "nothing is known of what is there");
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Enumerate)], "it is looked for again");
    for _ in 0..3 {
        walk.say(Fact::Enumerated(look_without(&walk)));
        assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RollingBack, None));
        assert!(walk.state.new_version().is_some(), "the new key may be in use there");
    }
    walk.until(|state| state.phase() == Phase::RolledBack);
    assert!(restored(&walk.state, 1));
}

#[test]
fn a_unit_that_cannot_be_restored_makes_a_rollback_stuck_only_when_nobody_is_away() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    while walk.state.units()[0].stage != UnitStep::Failed {
        match walk.first_op() {
            Some(op) => {
                let intent = walk.begin(&op);
                let restores = matches!(op, Op::Deliver(FileId(0), Which::Old));
                walk.end(
                    intent,
                    if restores { Outcome::Failed { retry: false } } else { Outcome::Done(None) },
                );
            }
            None => go_on_without(&mut walk),
        }
    }
    assert_eq!(walk.state.hold(), None, "the host that is away is still to be restored");
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(ConsumerId(0)))));
    let back = &walk.state.units()[1];
    assert_eq!((back.toward, back.stage), (Which::Old, UnitStep::Settled));
}

#[test]
fn a_rollback_moves_nothing_toward_the_new_key_on_a_host_that_went_away_in_the_middle() {
    for stage in [UnitStep::Delivering, UnitStep::Applying(0), UnitStep::Proving(0)] {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.units()[1].stage == stage);
        walk.say(Fact::AbortAsked);
        let from = walk.said.len();
        until_without(&mut walk, |state| {
            let unit = &state.units()[0];
            unit.toward == Which::Old && unit.stage == UnitStep::Settled
        });
        walk.until(|state| state.phase() == Phase::RolledBack);
        let new = |fact: &Fact| {
            matches!(fact, Fact::Intended(Op::Deliver(_, Which::New) | Op::Apply(_, _, Which::New)))
        };
        assert!(!walk.said[from..].iter().any(|event| new(&event.fact)), "{stage:?}");
        assert_eq!(walk.state.units()[1].toward, Which::Old);
    }
}

#[test]
fn nobody_is_moved_before_each_host_that_is_there_was_seen_to_reach_the_issuer_with_the_new_key() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Probe);
    let accepted = |at| Fact::Probed {
        endpoint: EndpointId(at),
        version: Which::New,
        answer: ProbeResult::Alive,
        control: None,
    };
    walk.say(accepted(0));
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Probe(EndpointId(1), Which::New))]);
    let mut waived = walk.clone();
    walk.say(accepted(1));
    assert_eq!(walk.state.phase(), Phase::Roll);
    waive(&mut waived);
    assert_eq!(waived.state.phase(), Phase::Roll, "nothing is asked of a host that has left");
}

#[test]
fn an_emergency_that_revokes_first_waits_for_no_answer_from_another_host() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Mint);
    walk.say(Fact::Escalated { mode: Emergency::RevokeNow, pending_compromised: false });
    let from = walk.said.len();
    until_without(&mut walk, |state| state.phase() == Phase::Roll);
    let waited =
        |fact: &Fact| matches!(fact, Fact::Probed { endpoint: EndpointId(1), version: Which::New, .. });
    assert!(!walk.said[from..].iter().any(|event| waited(&event.fact)));
}

#[test]
fn a_key_that_is_dead_is_seen_so_although_a_host_does_not_reach_the_issuer_any_more() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::ConfirmDead);
    let deaf = Fact::Probed {
        endpoint: EndpointId(1),
        version: Which::Old,
        answer: ProbeResult::Unknown,
        control: Some(ProbeResult::Unknown),
    };
    let refused = |at| Fact::Probed {
        endpoint: EndpointId(at),
        version: Which::Old,
        answer: ProbeResult::Dead,
        control: Some(ProbeResult::Alive),
    };
    walk.say(refused(0));
    walk.say(deaf.clone());
    assert_eq!(walk.state.phase(), Phase::ConfirmDead, "it is asked as long as the phase may last");
    walk.wait(walk.state.plan().policy.phase_ms_max * 2);
    assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Sweep, None));
}

#[test]
fn a_rollback_without_a_host_that_nobody_waives_is_stuck_in_the_end_and_keeps_both_keys() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    until_without(&mut walk, |state| {
        wants(state) == [Want::Ask(Query::Enumerate)] && state.units()[0].toward == Which::Old
    });
    walk.wait(walk.state.plan().policy.phase_ms_max * 2);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    assert!(walk.state.new_version().is_some() && walk.state.old_key() == OldKey::On);
    walk.say(Fact::Retried);
    waive(&mut walk);
    until_without(&mut walk, |state| state.phase() == Phase::RolledBack);
}

#[test]
fn the_canary_is_sought_among_the_hosts_that_are_there() {
    let mut plan = two_hosts();
    plan.consumers.swap(0, 1);
    plan.consumers[0].files = vec![FileId(1)];
    plan.consumers.push(plan.consumers[1].clone());
    plan.policy.roll =
        Some(RollPolicy { canary: Canary::Consumer, bake_ms: 5_000, ask: false, pause_ms: 0, hosts_max: 9 });
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    assert_eq!(canary(&walk.state), [ConsumerId(0)]);
    waive(&mut walk);
    assert_eq!(canary(&walk.state), [ConsumerId(1)]);
    assert_eq!(
        walk.state.units()[2].stage,
        UnitStep::Waiting,
        "the others wait for a canary that was seen to work"
    );
    let moving = walk.state.units().iter().filter(|unit| unit.stage.is_moving()).count();
    assert_eq!(moving, 1);
}

#[test]
fn what_was_said_about_a_canary_does_not_count_for_the_next_one() {
    for answered in [false, true] {
        let mut plan = two_hosts();
        plan.consumers.swap(0, 1);
        plan.consumers.push(plan.consumers[1].clone());
        plan.policy.roll = Some(ASKED);
        let mut walk = Walk::of(plan);
        walk.until(|state| state.hold() == Some(Hold::Paused(Reason::Canary(ConsumerId(0)))));
        if answered {
            walk.say(Fact::Resumed);
        }
        waive(&mut walk);
        assert_eq!(walk.state.hold(), None);
        let asks = |state: &State| state.hold() == Some(Hold::Paused(Reason::Canary(ConsumerId(1))));
        while !asks(&walk.state) {
            assert_eq!(
                walk.state.units()[2].stage,
                UnitStep::Waiting,
                "nobody was asked about the next canary"
            );
            walk.go_on();
        }
    }
}

/// The canary and what reads the store again are on the host that leaves, and the operator waives it when asked about the canary.
/// Red if a consumer that settled with its host passes as the canary once that host is back.
#[test]
fn a_canary_whose_host_is_back_is_proven_before_the_others_begin() {
    let asked = Some(Hold::Paused(Reason::Canary(ConsumerId(0))));
    // What an earlier protocol did stays as it was.
    for (protocol, held) in [(PROTOCOL, asked), (17, None)] {
        let mut plan = two_hosts();
        plan.protocol = protocol;
        plan.files = vec![GONE; 2];
        plan.consumers.iter_mut().for_each(|consumer| consumer.host = GONE);
        let (delivery, uptake) = (Delivery::Follow, ReloadMode::Rereads);
        let live = Consumer { delivery, uptake, files: Vec::new(), ..plan.consumers[0].clone() };
        plan.consumers.push(live);
        plan.policy.roll = Some(ASKED);
        let mut walk = Walk::of(plan);
        walk.until(|state| state.hold() == asked);
        waive(&mut walk);
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::Enumerated(walk.look()));
        assert_eq!((walk.state.has_left(GONE), walk.state.phase()), (false, Phase::Roll));
        walk.until(|state| state.hold().is_some() || state.phase() == Phase::Quiesce);
        assert_eq!(walk.state.hold(), held);
        if held.is_some() {
            let begun = |event: &Event| event.fact == Fact::Intended(Op::Apply(AWAY, 0, Which::New));
            assert!(!walk.said.iter().any(begun), "nobody was asked about the canary");
            walk.say(Fact::Resumed);
            walk.until(|state| state.phase() == Phase::Done);
            assert!(walk.said.iter().any(begun));
        }
    }
}

#[test]
fn without_a_pace_the_first_consumer_that_is_there_goes_alone_too() {
    let mut plan = two_hosts();
    plan.consumers.swap(0, 1);
    plan.consumers.push(plan.consumers[1].clone());
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    waive(&mut walk);
    let moving = walk.state.units().iter().filter(|unit| unit.stage.is_moving()).count();
    assert_eq!(moving, 1);
}

#[test]
fn a_session_that_nobody_claims_blocks_although_the_host_is_waived() {
    let mut plan = two_hosts();
    plan.capabilities.sessions = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    waive(&mut walk);
    let mut seen = look_without(&walk);
    seen.sessions = Some(vec![keyroll_rotation::SessionSeen { who: None, busy: true }]);
    walk.say(Fact::Enumerated(seen));
    let look = walk.state.look().unwrap();
    assert_eq!(
        blockers(&walk.state, look, Which::New),
        [Blocker::Session(None)],
        "it may be cut off only from keyroll"
    );
}

#[test]
fn a_host_without_consumers_and_an_ended_rotation_have_no_host_to_waive() {
    let event = |walk: &Walk, host| keyroll_rotation::Event {
        at: keyroll_rotation::Stamp { ms: walk.at.ms + 1, ..walk.at },
        fact: Fact::Waived(Waived::Host(host)),
    };
    let mut walk = Walk::of(two_hosts());
    // Of which hosts the first look is asked, nobody can say before it: a plan may leave out one that is only searched.
    assert!(step(&walk.state, &event(&walk, HostId(7))).is_ok());
    walk.until(|state| state.look().is_some());
    assert!(step(&walk.state, &event(&walk, HostId(7))).is_err());
    walk.until(|state| state.phase() == Phase::Done);
    assert!(step(&walk.state, &event(&walk, GONE)).is_err());
}

#[test]
fn a_hold_about_another_host_stays() {
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let intent = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
    walk.end(intent, Outcome::Failed { retry: false });
    walk.until(|state| state.hold().is_some());
    waive(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(0)))));
}

/// The plan has nothing on this host: it is only searched.
const SEARCHED: HostId = HostId(3);

#[test]
fn a_host_that_is_only_searched_holds_up_the_rotation_until_it_answers_or_is_waived() {
    let without = |walk: &Walk| Enumeration { absent: vec![SEARCHED], ..walk.look() };
    let waiver =
        |walk: &Walk| keyroll_rotation::Event { at: walk.at, fact: Fact::Waived(Waived::Host(SEARCHED)) };
    let mut walk = Walk::of(two_hosts());
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert!(step(&walk.state, &waiver(&walk)).is_ok(), "no look was made yet");
    walk.say(Fact::Enumerated(without(&walk)));
    assert_eq!(walk.state.phase(), Phase::Quiesce);
    assert!(!walk.state.look().unwrap().whole && walk.state.depends_on(SEARCHED));
    assert!(!walk.state.depends_on(HostId(7)));
    walk.say(Fact::Waived(Waived::Host(SEARCHED)));
    walk.say(Fact::Enumerated(without(&walk)));
    assert_ne!(walk.state.phase(), Phase::Quiesce);
    assert_eq!(walk.state.left_hosts(), [SEARCHED]);
    // It is back.
    walk.say(Fact::Enumerated(walk.look()));
    assert!(walk.state.left_hosts().is_empty());
    walk.until(|state| state.phase() == Phase::Done);
}

/// Red if a canary passes because its host was waived while it was watched, and is back.
#[test]
fn a_canary_whose_host_was_waived_while_it_was_watched_is_watched_again_once_that_is_back() {
    let mut plan = two_hosts();
    plan.files = vec![GONE, GONE];
    plan.consumers.iter_mut().for_each(|consumer| consumer.host = GONE);
    let bake_ms = 5_000;
    let canary = Canary::Consumer;
    plan.policy.roll = Some(RollPolicy { canary, bake_ms, ask: false, pause_ms: 0, hosts_max: 1 });
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].watched);
    waive(&mut walk);
    walk.until(|state| state.phase() == Phase::Quiesce);
    // The host answers: it was there all the time.
    walk.say(Fact::Enumerated(walk.look()));
    assert_eq!(walk.state.phase(), Phase::Roll);
    assert!(walk.state.units()[0].stage.is_moving(), "it was not watched to the end");
    walk.until(|state| state.units()[0].watched);
    let since = walk.at.ms;
    walk.until(|state| state.units()[1].stage.is_moving());
    assert!(walk.at.ms >= since + bake_ms, "nobody else begins before");
}

/// Its file has the new key, and it reads that again by itself: nothing is done there once the host is back. Red if what a look that
/// was under way at the waiver showed of it lets it pass.
#[test]
fn a_canary_whose_host_is_back_is_not_proven_by_what_was_seen_before() {
    let mut plan = two_hosts();
    plan.files = vec![GONE, GONE];
    plan.consumers.iter_mut().for_each(|consumer| consumer.host = GONE);
    plan.consumers[0].uptake = ReloadMode::Rereads;
    let canary = Canary::Consumer;
    plan.policy.roll = Some(RollPolicy { canary, bake_ms: 0, ask: false, pause_ms: 0, hosts_max: 1 });
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
    waive(&mut walk);
    let proofs = vec![proof(ConsumerId(0), Which::New)];
    walk.say(Fact::Proved { consumer: ConsumerId(0), proofs, trouble: false });
    walk.until(|state| state.phase() == Phase::Quiesce);
    let back = walk.said.len();
    walk.say(Fact::Enumerated(walk.look()));
    assert_eq!(walk.state.phase(), Phase::Roll);
    assert!(walk.state.units()[0].stage.is_moving(), "nothing was seen of it since");
    walk.until(|state| state.units()[1].stage.is_moving());
    let proves = |event: &Event| matches!(event.fact, Fact::Proved { consumer: ConsumerId(0), .. });
    assert!(walk.said[back..].iter().any(proves), "nobody else begins before");
}
