//! Why a rotation is held, what it does before the hold, and what is not taken for proof.

use keyroll_rotation::{
    ConsumerId, CredId, Difference, Emergency, EndpointId, Fact, FileId, Hold, Holds, Labelled, ListedState,
    OldKey, Op, Outcome, PROTOCOL, Phase, Plan, ProbeResult, Query, Reason, Reconciled, State, UnitStep,
    Visibility, Want, Which, wants,
};

use crate::walk::{Walk, plan, proof, who};

const NOT_OURS: u64 = 9_999;
const STUCK: Hold = Hold::Stuck(Reason::UnknownLabel(NOT_OURS));
const ENABLE: Want = Want::Do(Op::Enable);

fn strange_label() -> Fact {
    let labelled = vec![Labelled { intent: NOT_OURS, credential: CredId::new("strange") }];
    Fact::Listed { complete: false, labelled, old: ListedState::NotVisible }
}

fn stuck(mut walk: Walk) -> Walk {
    walk.say(strange_label());
    assert_eq!(walk.state.hold(), Some(STUCK));
    walk
}

fn done(walk: &mut Walk, op: &Op) {
    let intent = walk.begin(op);
    walk.end(intent, Outcome::Done(None));
}

fn probed(version: Which, answer: ProbeResult) -> Fact {
    Fact::Probed { endpoint: EndpointId(0), version, answer, control: Some(ProbeResult::Alive) }
}

#[test]
fn a_hold_is_never_replaced_by_a_lesser_one() {
    let mut soaking = stuck(Walk::to(Phase::Soak));
    soaking.say(Fact::Refusals { count: 1, took_ms: 0 });
    assert_eq!(soaking.state.hold(), Some(STUCK), "a refused use");
    soaking.say(Fact::PauseAsked);
    assert_eq!(soaking.state.hold(), Some(STUCK), "a word to pause");

    let mut staging = stuck(Walk::to(Phase::Stage));
    staging.say(Fact::StageChecked { intact: false, carried: true });
    assert_eq!(staging.state.hold(), Some(STUCK), "a failed phase");

    // In the other order, the stronger hold is the one that the operator sees.
    let mut paused = Walk::to(Phase::Soak);
    paused.say(Fact::PauseAsked);
    paused.say(Fact::Refusals { count: 1, took_ms: 0 });
    assert_eq!(paused.state.hold(), Some(Hold::Paused(Reason::RefusedUse)));
    assert_eq!(stuck(paused).state.hold(), Some(STUCK));
}

#[test]
fn a_refused_use_behind_a_stronger_hold_is_told_after_it() {
    for refused_first in [false, true] {
        let mut walk = Walk::to(Phase::Soak);
        if refused_first {
            walk.say(Fact::Refusals { count: 1, took_ms: 0 });
        }
        let mut walk = stuck(walk);
        if !refused_first {
            walk.say(Fact::Refusals { count: 1, took_ms: 0 });
        }
        walk.say(Fact::Retried);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::RefusedUse)), "{refused_first}");
        walk.say(Fact::Resumed);
        assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Quiesce, None));
        assert_eq!(wants(&walk.state), [ENABLE]);
    }
}

/// A list that shows a key of another keyroll, whose journal this one does not know.
fn of_another(walk: &Walk) -> Fact {
    let old = if walk.state.old_key() == OldKey::On { ListedState::On } else { ListedState::Off };
    let labelled = vec![Labelled { intent: u64::MAX, credential: CredId::new("theirs") }];
    Fact::Listed { complete: true, labelled, old }
}

/// Consumers do not stay on a key that is given up because somebody else has a key at the same account.
#[test]
fn a_key_of_another_keyroll_does_not_hold_a_rollback() {
    let mut walk = Walk::to(Phase::Soak);
    walk.say(of_another(&walk));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::UnknownLabel(u64::MAX))));
    walk.say(Fact::AbortAsked);
    let mut lists = 0;
    while walk.state.phase() == Phase::RollingBack {
        if wants(&walk.state).contains(&Want::Ask(Query::List)) {
            lists += 1;
            walk.say(of_another(&walk));
            assert_eq!(walk.state.hold(), None);
        }
        if walk.state.phase() == Phase::RollingBack {
            walk.go_on();
        }
    }
    assert!(lists > 0, "nobody listed the keys");
    assert_eq!(walk.state.phase(), Phase::RolledBack);
}

/// Red where the emergency ends the hold and nothing looks for the label again: the old value is dropped, and the rotation is done
/// beside the key. In a rotation of protocol 17 and before it was.
#[test]
fn an_emergency_in_the_last_search_looks_for_an_unknown_label_again() {
    let emergency = || Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false };
    let stuck = Some(Hold::Stuck(Reason::UnknownLabel(u64::MAX)));
    for (protocol, again) in [(17, false), (PROTOCOL, true)] {
        let mut walk = Walk::of(Plan { protocol, ..plan() });
        walk.until(|state| state.phase() == Phase::Sweep);
        walk.say(of_another(&walk));
        assert_eq!(walk.state.hold(), stuck);
        walk.say(emergency());
        assert_eq!(walk.state.hold(), None);
        assert_eq!(wants(&walk.state).contains(&Want::Ask(Query::List)), again, "{protocol}");
        if again {
            walk.say(of_another(&walk));
            assert_eq!(walk.state.hold(), stuck);
            // The hold may last longer than the phase.
            walk.wait(2 * walk.state.plan().policy.phase_ms_max);
            walk.say(emergency());
            assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Sweep, None));
            assert!(wants(&walk.state).contains(&Want::Ask(Query::List)));
        }
    }
}

/// In a rotation of protocol 12 and before it did, until the operator retried. Both are in its journal.
#[test]
fn a_rollback_of_before_that_a_key_of_another_keyroll_held_is_read_as_it_was() {
    for (protocol, held) in [(12, true), (PROTOCOL, false)] {
        let mut walk = Walk::of(Plan { protocol, ..plan() });
        // A credential may be left of this one: the rollback reads a last list.
        walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
        let intent = walk.begin(&Op::Mint);
        walk.end(intent, Outcome::Failed { retry: true });
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        let is_last =
            |state: &State| state.new_version().is_none() && wants(state).contains(&Want::Ask(Query::List));
        walk.until(is_last);
        walk.say(of_another(&walk));
        let stuck = held.then_some(Hold::Stuck(Reason::UnknownLabel(u64::MAX)));
        assert_eq!(walk.state.hold(), stuck, "{protocol}");
        if held {
            walk.say(Fact::Retried);
            walk.until(is_last);
            walk.until(|state| state.ended());
        }
        assert_eq!(walk.state.phase(), Phase::RolledBack, "{protocol}");
    }
}

#[test]
fn a_key_that_a_rollback_passed_by_holds_what_it_turns_into() {
    let mut walk = Walk::to(Phase::RollingBack);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::List)));
    walk.say(of_another(&walk));
    assert_eq!(walk.state.hold(), None);
    // The old key is dead: the rotation goes forward with the new one, and ends keys.
    walk.say(probed(Which::Old, ProbeResult::Dead));
    assert_ne!(walk.state.phase(), Phase::RollingBack);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::UnknownLabel(u64::MAX))));
}

#[test]
fn what_has_ended_stands_for_nothing() {
    for end in [Phase::Done, Phase::RolledBack] {
        let mut walk = Walk::to(end);
        walk.say(strange_label());
        assert_eq!(walk.state.hold(), None, "{end:?}");
    }
}

/// Every state before the point of no return in which the old key is disabled, or may be.
fn switched_off() -> Vec<(&'static str, Walk)> {
    let mut carrying = Walk::to(Phase::Disable);
    carrying.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let intent = carrying.begin(&Op::Disable);
    let mut carried = stuck(carrying.clone());
    carried.end(intent, Outcome::Done(None));
    let mut doubted = stuck(carrying);
    doubted.end(intent, Outcome::Unknown);
    assert_eq!(wants(&doubted.state), [Want::Ask(Query::Reconcile(intent))]);
    doubted.wait(1_000);
    doubted.say(Fact::Reconciled { intent, found: Reconciled::Absent });
    let mut asked = Walk::to(Phase::Decide);
    asked.until(|state| wants(state).iter().any(|want| matches!(want, Want::Person(_))));
    let mut edited = Walk::to(Phase::Soak);
    let mut look = edited.look();
    look.files[0] = (FileId(0), Holds::Other);
    edited.until(|state| state.phase() == Phase::Decide);
    edited.say(Fact::Enumerated(look.clone()));
    assert_eq!(edited.state.phase(), Phase::Quiesce);
    let mut back = Walk::to(Phase::Soak);
    back.say(Fact::AbortAsked);
    vec![
        ("stuck while Disable is carried out", carried),
        ("stuck, and the outcome of Disable is unknown", doubted),
        ("stuck in Soak", stuck(Walk::to(Phase::Soak))),
        ("stuck while a person is asked", stuck(asked)),
        ("stuck in Quiesce behind an edit", stuck(edited)),
        ("stuck during a rollback", stuck(back)),
    ]
}

#[test]
fn nothing_stands_still_with_the_old_key_off() {
    for (how, mut walk) in switched_off() {
        assert_eq!(walk.state.hold(), Some(STUCK), "{how}");
        assert!(wants(&walk.state).contains(&ENABLE), "{how}: {:?}", wants(&walk.state));
        done(&mut walk, &Op::Enable);
        assert_eq!(walk.state.old_key(), OldKey::On, "{how}");
        // The key is seen alive, and refused uses are read; then nothing more is done.
        let probe = Want::Ask(Query::Probe(EndpointId(0), Which::Old));
        assert!(wants(&walk.state).contains(&probe), "{how}: {:?}", wants(&walk.state));
        for _ in 0..3 {
            if !wants(&walk.state).is_empty() {
                walk.go_on();
            }
        }
        assert_eq!((wants(&walk.state), walk.state.hold()), (Vec::new(), Some(STUCK)), "{how}");
    }
}

#[test]
fn whoever_was_refused_before_it_stood_still_is_heard() {
    let mut walk = stuck(Walk::to(Phase::Soak));
    let hears = Want::Ask(Query::Refusals);
    assert!(wants(&walk.state).contains(&hears));
    done(&mut walk, &Op::Enable);
    assert!(wants(&walk.state).contains(&hears), "after it was switched on as well");
    walk.say(Fact::Refusals { count: 1, took_ms: 0 });
    assert!(!wants(&walk.state).contains(&hears));
    walk.say(Fact::Retried);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::RefusedUse)));
}

#[test]
fn a_key_that_cannot_be_switched_on_is_given_up_until_a_person_or_another_driver_comes() {
    let mut walk = stuck(Walk::to(Phase::Soak));
    for attempt in 1..=5 {
        assert!(wants(&walk.state).contains(&ENABLE), "given up before attempt {attempt}");
        let intent = walk.begin(&Op::Enable);
        walk.end(intent, Outcome::Failed { retry: true });
    }
    assert_eq!((wants(&walk.state), walk.state.hold()), (Vec::new(), Some(STUCK)));
    let mut again = walk.clone();
    again.another_driver();
    assert!(wants(&again.state).contains(&ENABLE));
    walk.say(Fact::Retried);
    assert!(wants(&walk.state).contains(&ENABLE));
}

#[test]
fn a_stuck_rotation_switches_no_compromised_key_on_and_none_after_the_point_of_no_return() {
    let mode = Emergency::RollFirst;
    let mut urgent = Walk::to(Phase::Soak);
    urgent.say(Fact::Escalated { mode, pending_compromised: false });
    let mut urgent = stuck(urgent);
    assert!(!wants(&urgent.state).contains(&ENABLE), "nobody was refused");
    urgent.say(Fact::Refusals { count: 1, took_ms: 0 });
    assert!(wants(&urgent.state).contains(&ENABLE), "somebody needs it, and everybody is to be moved first");

    let decided = stuck(Walk::to(Phase::Revoke));
    assert_eq!(wants(&decided.state), []);
}

#[test]
fn an_answer_about_one_version_says_nothing_about_the_other() {
    // Asked while the new key was probed; answered during a rollback, or when the old key has ended.
    let mut back = Walk::to(Phase::RollingBack);
    back.say(probed(Which::New, ProbeResult::Dead));
    assert_eq!((back.state.phase(), back.state.old_key()), (Phase::RollingBack, OldKey::On));
    let before = wants(&back.state);
    back.say(probed(Which::New, ProbeResult::Alive));
    assert_eq!(wants(&back.state), before, "the old key has not been seen alive");

    let mut confirming = Walk::to(Phase::ConfirmDead);
    confirming.say(probed(Which::New, ProbeResult::Dead));
    assert_eq!(confirming.state.phase(), Phase::ConfirmDead);

    let mut probing = Walk::to(Phase::Probe);
    probing.say(probed(Which::Old, ProbeResult::Alive));
    assert_eq!(probing.state.phase(), Phase::Probe, "rolled out unseen");
    probing.say(probed(Which::New, ProbeResult::Alive));
    assert_eq!(probing.state.phase(), Phase::Roll);
}

/// A rotation that is rolling back, with every consumer restored, while a restart from the way forward still runs.
fn restored_beside_a_restart() -> (Walk, u64) {
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let late = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
    walk.say(Fact::AbortAsked);
    let back = |walk: &Walk| walk.state.units().iter().all(|unit| unit.stage == UnitStep::Settled);
    for _ in 0..40 {
        if back(&walk) {
            return (walk, late);
        }
        walk.go_on();
    }
    panic!("{:?}", walk.state.units());
}

#[test]
fn a_gate_is_shut_while_anything_is_moved_and_for_looks_of_before() {
    let (mut walk, late) = restored_beside_a_restart();
    let delete = Want::Do(Op::DeleteNew);
    for _ in 0..6 {
        assert!(!wants(&walk.state).contains(&delete), "while a restart is carried out");
        walk.go_on();
    }
    walk.end(late, Outcome::Failed { retry: true });
    // Whatever the other answers are: without another look nothing is ended.
    for _ in 0..4 {
        let proofs = (0..2).map(|consumer| Query::Prove(ConsumerId(consumer), None, Which::Old));
        for query in proofs.chain([Query::Probe(EndpointId(0), Which::Old)]) {
            walk.say(walk.see(&query));
        }
        assert!(!wants(&walk.state).contains(&delete), "a look of before the outcome counts");
    }
    walk.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)));
}

#[test]
fn an_edit_that_is_accepted_is_not_forgotten_by_a_stronger_hold() {
    let edit = Difference { name: "api/mode".into(), digest: 7 };
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let intent = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
    walk.end(intent, Outcome::Refused(vec![edit.clone()]));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unaccepted(ConsumerId(0)))));
    let mut walk = stuck(walk);
    walk.say(Fact::Accepted(edit.clone()));
    walk.say(Fact::Retried);
    assert_eq!((walk.state.hold(), walk.state.accepted()), (None, std::slice::from_ref(&edit)));
}

#[test]
fn a_disable_that_was_sent_twice_is_over_when_neither_can_arrive() {
    let mut walk = Walk::to(Phase::Disable);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let first = walk.begin(&Op::Disable);
    walk.end(first, Outcome::Unknown);
    walk.wait(200);
    walk.say(Fact::Reconciled { intent: first, found: Reconciled::Absent });
    walk.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let second = walk.begin(&Op::Disable);
    walk.another_driver();
    // The effect may be that of the first Disable; the second may still arrive.
    let seen = Fact::Reconciled { intent: second, found: Reconciled::Executed(None) };
    walk.say(seen.clone());
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(second))]);
    walk.wait(100);
    walk.say(seen);
    assert_eq!(walk.state.phase(), Phase::Soak);
    // A Disable that was sent once is over as soon as its effect is seen.
    let mut once = Walk::to(Phase::Disable);
    once.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let intent = once.begin(&Op::Disable);
    once.another_driver();
    once.say(Fact::Reconciled { intent, found: Reconciled::Executed(None) });
    assert_eq!(once.state.phase(), Phase::Soak);
}

/// Red where a key that another party had disabled is taken for one that this Disable disabled: it would arrive after an Enable.
#[test]
fn a_disable_beside_another_partys_is_over_when_it_cannot_arrive() {
    for protocol in [17, PROTOCOL] {
        let mut walk = Walk::of(Plan { protocol, ..plan() });
        let lists = |state: &State| wants(state).contains(&Want::Ask(Query::List));
        walk.until(|state| state.phase() == Phase::Disable && lists(state));
        walk.say(Fact::Listed { complete: true, labelled: Vec::new(), old: ListedState::Off });
        walk.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
        let intent = walk.begin(&Op::Disable);
        walk.another_driver();
        let seen = Fact::Reconciled { intent, found: Reconciled::Executed(None) };
        walk.say(seen.clone());
        if protocol == PROTOCOL {
            walk.say(Fact::AbortAsked);
            assert_eq!(wants(&walk.state), [Want::Ask(Query::Reconcile(intent))]);
            walk.wait(100);
            walk.say(seen);
            assert_eq!(wants(&walk.state), [ENABLE]);
        } else {
            assert_eq!(walk.state.phase(), Phase::Soak);
        }
    }
    // A list from before keyroll's own Enable shows keyroll's own Disable.
    let mut again = Walk::to(Phase::Soak);
    again.say(again.see(&Query::List));
    again.say(Fact::PauseAsked);
    done(&mut again, &Op::Enable);
    again.say(Fact::Resumed);
    again.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let intent = again.begin(&Op::Disable);
    again.another_driver();
    again.say(Fact::Reconciled { intent, found: Reconciled::Executed(None) });
    assert_eq!(again.state.phase(), Phase::Soak);
}

#[test]
fn nothing_is_minted_while_a_deletion_is_carried_out() {
    let mut walk = Walk::to(Phase::RollingBack);
    walk.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)));
    let deletion = walk.begin(&Op::DeleteNew);
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false });
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::Mint, Vec::new()));
    walk.end(deletion, Outcome::Done(None));
    assert_eq!(wants(&walk.state), [Want::Do(Op::Mint)]);
}

#[test]
fn what_came_after_the_end_of_the_old_key_is_asked_before_the_old_value_is_dropped() {
    let mut walk = Walk::to(Phase::Sweep);
    let mut look = walk.look();
    let mut late = look.instances[0];
    // Its memory shows neither version.
    (late.who, late.old, late.new) = (who(ConsumerId(55)), Visibility::No, Visibility::No);
    look.instances[0] = late;
    walk.say(Fact::Enumerated(look));
    walk.say(walk.see(&Query::List));
    walk.say(walk.see(&Query::Sweep));
    let asks = Want::Ask(Query::Prove(ConsumerId(0), None, Which::New));
    let drop = Want::Do(Op::Retire(Which::Old));
    assert!(wants(&walk.state).contains(&asks) && !wants(&walk.state).contains(&drop));
    // It goes on showing nothing: it is restarted like any other.
    let mut silent = walk.clone();
    silent.wait(10_000);
    assert_eq!(silent.state.phase(), Phase::Roll);
    let mut shown = proof(ConsumerId(0), Which::New);
    shown.who = late.who;
    walk.say(Fact::Proved { consumer: ConsumerId(0), proofs: vec![shown], trouble: false });
    assert!(wants(&walk.state).contains(&drop), "{:?}", wants(&walk.state));
}

#[test]
fn a_key_is_not_left_off_for_a_look_that_cannot_be_had() {
    let mut deciding = Walk::to(Phase::Decide);
    deciding.wait(60_000);
    assert_eq!(deciding.state.phase(), Phase::Quiesce);
    assert_eq!(wants(&deciding.state), [ENABLE]);
    let mut soaking = Walk::to(Phase::Soak);
    soaking.wait(61_000);
    assert_eq!(soaking.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Soak))));
    assert!(wants(&soaking.state).contains(&ENABLE));
}

#[test]
fn a_promote_that_was_never_told_is_taken_back_on_the_way_back() {
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Promote)));
    let intent = walk.begin(&Op::Promote);
    walk.end(intent, Outcome::Unknown);
    walk.wait(60_000);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Unclear });
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unclear(intent))));
    walk.say(Fact::Retried);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Demote)));
}

#[test]
fn revoke_now_does_not_wait_for_the_outcome_of_something_else() {
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let restart = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
    walk.end(restart, Outcome::Unknown);
    walk.say(Fact::Escalated { mode: Emergency::RevokeNow, pending_compromised: false });
    let asked = Want::Ask(Query::Reconcile(restart));
    assert_eq!(wants(&walk.state), [asked.clone(), Want::Do(Op::Revoke)]);
    // Its own outcome it waits for.
    let revoke = walk.begin(&Op::Revoke);
    assert_eq!(wants(&walk.state), std::slice::from_ref(&asked));
    walk.end(revoke, Outcome::Unknown);
    assert!(!wants(&walk.state).contains(&Want::Do(Op::Revoke)));
    walk.wait(100);
    walk.say(Fact::Reconciled { intent: revoke, found: Reconciled::Absent });
    let again = walk.begin(&Op::Revoke);
    walk.end(again, Outcome::Done(None));
    assert_eq!((walk.state.old_key(), wants(&walk.state)), (OldKey::Ended, vec![asked]));
    walk.say(Fact::Reconciled { intent: restart, found: Reconciled::Absent });
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn what_was_seen_before_a_hold_is_seen_again_after_it() {
    let mut walk = Walk::to(Phase::Quiesce);
    let mut look = walk.look();
    let mut stray = look.instances[0];
    (stray.who, stray.consumer, stray.old) = (who(ConsumerId(77)), None, Visibility::Yes);
    look.instances.push(stray);
    walk.say(Fact::Enumerated(look));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Holder(stray.who))));
    // The operator ended that process, and the same driver goes on.
    walk.say(Fact::Resumed);
    assert_eq!(walk.state.hold(), None);
    assert!(wants(&walk.state).contains(&Want::Ask(Query::Enumerate)));
    walk.until(|state| state.phase() == Phase::Disable);
}
