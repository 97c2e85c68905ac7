//! A key that several consumers share: what a member's rotation does not touch, and what the end of the key requires.

use keyroll_rotation::{
    Aim, ConsumerId, CredId, Emergency, EndpointId, Enumeration, Event, Fact, FileId, FoundBy, Hold, Holds,
    HostId, Incarnation, InstanceIdentity, ListedState, MintedBy, Next, ObservedInstance, OldKey, Op,
    Outcome, Outside, Overlap, PROTOCOL, Phase, Plan, PlanDefect, PreflightSeen, ProbeResult, Query, Reason,
    Reconciled, SessionSeen, Stamp, State, Visibility, Want, Which, wants, way,
};

use crate::walk::{Walk, plan, proof, who};

fn of(aim: Aim) -> Plan {
    let mut plan = plan();
    plan.aim = aim;
    plan
}

fn stranger() -> Incarnation {
    Incarnation {
        host: HostId(0),
        life: InstanceIdentity::Process { boot: 1, pid: 9, start_ticks: 1, program: 0 },
    }
}

fn refuses(walk: &Walk, fact: Fact) -> bool {
    keyroll_rotation::step(&walk.state, &Event { at: walk.at, fact }).is_err()
}

/// Both consumers run and hold the new value; a third process holds the old one and has a session on it.
fn look(strange: bool) -> Enumeration {
    let own = |at: u16| ObservedInstance {
        who: who(ConsumerId(at)),
        consumer: Some(ConsumerId(at)),
        slot: 0,
        old: Visibility::No,
        new: Visibility::Yes,
        by: FoundBy::Configured,
    };
    let other = ObservedInstance {
        who: stranger(),
        consumer: None,
        old: Visibility::Yes,
        new: Visibility::No,
        ..own(0)
    };
    let mut instances = vec![own(0), own(1)];
    instances.extend(strange.then_some(other));
    let session = SessionSeen { who: Some(stranger()), busy: false };
    Enumeration {
        took_ms: 0,
        complete: true,
        instances,
        files: vec![(FileId(0), Holds::New), (FileId(1), Holds::New)],
        sessions: Some(strange.then_some(session).into_iter().collect()),
        absent: Vec::new(),
        strangers: if strange { vec![7] } else { Vec::new() },
        unsearched: Vec::new(),
        bystanders: Vec::new(),
    }
}

fn shown(walk: &mut Walk, consumer: u16) {
    let consumer = ConsumerId(consumer);
    walk.say(Fact::Proved { consumer, proofs: vec![proof(consumer, Which::New)], trouble: false });
}

fn ready(walk: &mut Walk) {
    walk.say(Fact::Preflight(PreflightSeen {
        clear: true,
        control: ProbeResult::Dead,
        current: ProbeResult::Alive,
    }));
}

#[test]
fn a_member_is_done_behind_its_own_gate_and_the_shared_key_stays() {
    let mut walk = Walk::of(of(Aim::Part));
    walk.until(|state| state.phase() == Phase::Quiesce);
    let done = |state: &State| state.phase() == Phase::Done;
    // Missing evidence about its own consumers holds it up.
    let mut unseen = look(true);
    unseen.instances.remove(0);
    let mut other = walk.clone();
    other.say(Fact::Enumerated(unseen));
    assert!(!done(&other.state), "an instance of its own that is not seen holds it up");
    let mut behind = look(true);
    behind.files[1].1 = Holds::Unreadable;
    let mut other = walk.clone();
    other.say(Fact::Enumerated(behind));
    assert!(!done(&other.state), "a copy of its own that is not seen holds it up");
    // Other holders of the shared key do not hold it up.
    walk.say(Fact::Enumerated(look(true)));
    assert_eq!(walk.state.phase(), Phase::Done);
    assert!(!walk.state.decided() && walk.state.debt().is_none());
    assert_eq!(walk.state.old_key(), OldKey::On);
    assert!(wants(&walk.state).is_empty());
}

#[test]
fn neither_a_persons_word_nor_an_emergency_ends_a_shared_key() {
    for aim in [Aim::Part, Aim::End] {
        let mut walk = Walk::of(of(aim));
        ready(&mut walk);
        for mode in [Emergency::RollFirst, Emergency::RevokeNow] {
            assert!(refuses(&walk, Fact::Escalated { mode, pending_compromised: false }), "{aim:?} {mode:?}");
        }
        assert!(refuses(&walk, Fact::HandRevoked), "{aim:?}");
    }
}

/// A member is rolled back at an issuer without a list. The answer about the deletion of its new key is lost, the deletion arrives
/// late, and another party ends the shared key: no key is accepted beside which a refusal would count.
fn without_any_key(protocol: u32) -> Walk {
    let mut plan = of(Aim::Part);
    plan.protocol = protocol;
    (plan.capabilities.list, plan.capabilities.label) = (false, false);
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)));
    let intent = walk.begin(&Op::DeleteNew);
    walk.another_driver();
    walk.wait(1_000);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
    let refused = Some(ProbeResult::Dead);
    walk.say(Fact::Probed {
        endpoint: EndpointId(0),
        version: Which::Old,
        answer: ProbeResult::Dead,
        control: refused,
    });
    walk.wait(walk.state.plan().policy.phase_ms_max * 2);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    walk
}

fn names_the_statement(walk: &Walk) -> bool {
    let forward = way(&walk.state).expect("a way").forward;
    forward.iter().any(|step| step.first.is_none() && step.then == [Next::HandRevoked])
}

/// Red: no command ends the wait of a member for a key that is not there any more.
#[test]
fn a_member_without_any_key_goes_forward_by_the_operators_word() {
    let mut before = without_any_key(17);
    assert!(refuses(&before, Fact::HandRevoked) && !names_the_statement(&before));
    before.say(Fact::Retried);
    before.wait(before.state.plan().policy.phase_ms_max * 2);
    assert_eq!(before.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));

    let mut walk = without_any_key(PROTOCOL);
    assert!(names_the_statement(&walk));
    walk.say(Fact::HandRevoked);
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Mint, None), "the deletion was begun");
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let mint = walk.begin(&Op::Mint);
    walk.end(mint, Outcome::Done(Some(CredId::new("another"))));
    walk.until(|state| state.ended());
    assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, None));
    let ends = |event: &Event| matches!(event.fact, Fact::Intended(Op::Disable | Op::Revoke));
    assert!(!walk.said.iter().any(ends), "others may use the shared key");
}

/// Red where a host that was away before the rollback hides the only way past it: once it is back, nothing else is named.
#[test]
fn a_host_that_was_away_does_not_hide_the_operators_word() {
    let mut walk = Walk::of(of(Aim::Part));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::Enumerated(Enumeration { absent: vec![HostId(1)], ..walk.look() }));
    walk.say(Fact::AbortAsked);
    let (answer, control) = (ProbeResult::Dead, Some(ProbeResult::Dead));
    walk.say(Fact::Probed { endpoint: EndpointId(0), version: Which::Old, answer, control });
    walk.wait(walk.state.plan().policy.phase_ms_max * 2);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    let forward = way(&walk.state).expect("a way").forward;
    assert!(forward.iter().any(|step| step.first == Some(Outside::BringUp(HostId(1)))), "{forward:?}");
    assert!(names_the_statement(&walk));
    walk.say(Fact::HandRevoked);
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Probe, None));
}

/// Red: the statement turns a member's rollback that waits for something else, or that is not over yet.
#[test]
fn a_members_rollback_is_turned_by_no_word_before_its_time_is_over() {
    let mut walk = Walk::of(of(Aim::Part));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    assert!(refuses(&walk, Fact::HandRevoked));
    walk.until_the_first_is_stuck();
    assert!(matches!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(_)))));
    assert!(refuses(&walk, Fact::HandRevoked) && !names_the_statement(&walk));
}

#[test]
fn nobody_is_moved_by_the_end_of_a_shared_key() {
    let mut walk = Walk::of(of(Aim::End));
    ready(&mut walk);
    assert_eq!(walk.state.phase(), Phase::Quiesce, "nothing is minted, staged or rolled");
    walk.say(Fact::Enumerated(look(false)));
    assert_eq!(walk.state.phase(), Phase::Quiesce, "nobody has shown a key of their own");
    shown(&mut walk, 0);
    // One consumer uses the shared key again: the operator must act, and nothing is written.
    let mut fallen = look(false);
    (fallen.instances[1].old, fallen.instances[1].new) = (Visibility::Yes, Visibility::No);
    let mut other = walk.clone();
    other.say(Fact::Enumerated(fallen));
    assert_eq!(other.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(1)))));
    let mut written = look(false);
    written.files[0].1 = Holds::Old;
    let mut other = walk.clone();
    other.say(Fact::Enumerated(written));
    assert_eq!(other.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(0)))));
    other.say(Fact::Resumed);
    assert_eq!(other.state.phase(), Phase::Quiesce);
    assert!(wants(&other.state).iter().all(|want| !matches!(want, Want::Do(_))), "nobody is moved");
    // Another holder of the key blocks its end.
    let mut other = walk.clone();
    other.say(Fact::Enumerated(look(true)));
    assert!(matches!(other.state.hold(), Some(Hold::Paused(Reason::Stranger(7) | Reason::Holder(_)))));
    shown(&mut walk, 1);
    walk.say(Fact::Enumerated(look(false)));
    assert_eq!(walk.state.phase(), Phase::Disable);
    // A rollback enables the key, and moves no consumer either.
    walk.say(Fact::Enumerated(look(false)));
    let list = walk.see(&keyroll_rotation::Query::List);
    walk.say(list);
    let intent = walk.begin(&Op::Disable);
    walk.end(intent, Outcome::Done(None));
    walk.say(Fact::AbortAsked);
    assert_eq!(wants(&walk.state), [Want::Do(Op::Enable)]);
    let intent = walk.begin(&Op::Enable);
    walk.end(intent, Outcome::Done(None));
    assert_eq!(walk.state.phase(), Phase::RolledBack);
}

fn listed(complete: bool, old: ListedState) -> Fact {
    Fact::Listed { complete, labelled: Vec::new(), old }
}

/// The end of a shared key is rolled back, the key cannot be enabled, and an operator says that it was revoked.
fn said_while_disabled(change: impl Fn(&mut Plan)) -> Walk {
    let mut plan = of(Aim::End);
    change(&mut plan);
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.old_key(), OldKey::Off(_)));
    walk.say(Fact::AbortAsked);
    let enable = walk.begin(&Op::Enable);
    walk.end(enable, Outcome::Failed { retry: false });
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Failed(Phase::RollingBack))));
    walk.say(Fact::HandRevoked);
    walk
}

/// Red: the rotation is over at once, and the shared key stays disabled although each list shows it.
#[test]
fn a_shared_key_that_is_only_said_to_have_ended_is_looked_for_in_a_list() {
    let before = said_while_disabled(|plan| plan.protocol = 17);
    assert_eq!(before.state.phase(), Phase::RolledBack);

    let walk = said_while_disabled(|_| ());
    let asks = [Want::Ask(Query::List)];
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::RollingBack, asks.to_vec()));
    let by_hand = said_while_disabled(|plan| plan.capabilities.minted_by = MintedBy::Human);
    assert_eq!(wants(&by_hand.state), asks);

    let mut ended = walk.clone();
    ended.say(listed(true, ListedState::Gone));
    assert_eq!(ended.state.phase(), Phase::RolledBack);

    // An issuer that is slower than it declares still shows it enabled.
    for shown in [ListedState::Off, ListedState::On] {
        let mut wrong = walk.clone();
        wrong.say(listed(true, shown));
        assert_eq!(wants(&wrong.state), asks, "the list may lag");
        wrong.wait(1_000);
        wrong.say(listed(true, shown));
        assert_eq!(wants(&wrong.state), [Want::Do(Op::Enable)], "{shown:?}");
        let enable = wrong.begin(&Op::Enable);
        wrong.end(enable, Outcome::Done(None));
        assert_eq!((wrong.state.phase(), wrong.state.old_key()), (Phase::RolledBack, OldKey::On));
    }
}

/// Red: a rollback waits for ever for a list that does not come, or that cannot show the key.
#[test]
fn where_no_list_shows_a_shared_key_the_operators_word_ends_the_rollback() {
    let unlisted = said_while_disabled(|plan| {
        (plan.capabilities.list, plan.capabilities.label) = (false, false);
    });
    assert_eq!(unlisted.state.phase(), Phase::RolledBack);

    let mut unknown = said_while_disabled(|_| ());
    let mut never = unknown.clone();
    unknown.say(listed(true, ListedState::NotVisible));
    assert_eq!(unknown.state.phase(), Phase::RolledBack);

    never.say(listed(false, ListedState::NotVisible));
    never.wait(never.state.plan().policy.phase_ms_max * 2);
    assert_eq!(never.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    let forward = way(&never.state).expect("a way").forward;
    assert!(forward.iter().any(|step| step.first == Some(Outside::LookAtConsole)), "{forward:?}");
    never.say(Fact::Retried);
    assert_eq!(never.state.phase(), Phase::RolledBack);
}

#[test]
fn a_shared_key_is_dead_only_beside_an_accepted_one() {
    let mut plan = of(Aim::End);
    plan.recovery = true;
    let mut walk = Walk::of(plan);
    let dead = PreflightSeen { clear: true, control: ProbeResult::Dead, current: ProbeResult::Dead };
    walk.say(Fact::Preflight(dead));
    shown(&mut walk, 0);
    shown(&mut walk, 1);
    walk.say(Fact::Enumerated(look(false)));
    assert_eq!(walk.state.phase(), Phase::ConfirmDead);
    let probed = |control| Fact::Probed {
        endpoint: EndpointId(0),
        version: Which::Old,
        answer: ProbeResult::Dead,
        control,
    };
    for control in [None, Some(ProbeResult::Unknown), Some(ProbeResult::Dead)] {
        walk.say(probed(control));
        assert_eq!(walk.state.phase(), Phase::ConfirmDead, "{control:?}");
    }
    walk.say(probed(Some(ProbeResult::Alive)));
    assert_eq!(walk.state.phase(), Phase::Sweep);
}

#[test]
fn a_key_is_split_only_where_keys_live_beside_each_other() {
    let at = Stamp { ms: 0, boot: 1, epoch: 0 };
    for overlap in [Overlap::TwoSlots, Overlap::Grace { ms: 1_000_000_000 }, Overlap::None] {
        for aim in [Aim::Part, Aim::End] {
            let mut plan = of(aim);
            plan.capabilities.overlap = overlap;
            assert_eq!(State::open(plan, at).unwrap_err(), PlanDefect::Shared, "{overlap:?} {aim:?}");
        }
    }
}
