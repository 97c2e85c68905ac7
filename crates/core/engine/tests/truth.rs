//! Whole rotations of a secret whose consumers fetch from a source of truth beside the store, which others change too.

use std::sync::atomic::Ordering;

use keyroll_engine::{Command, DriverState};
use keyroll_port::Label;
use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Emergency, Event, Fact, FileId, Hold, HostId, OnFailure, Op, Phase, Plan,
    Reason, ReloadMode, State, Which,
};

use crate::parts::{self, Scene, locked};
use crate::shell::{There, drive, drive_before};

const CHANGED: DriverState = DriverState::Held(Hold::Stuck(Reason::ChangedElsewhere));
const FETCHER: ConsumerId = ConsumerId(0);

/// One consumer, which fetches; an operator is asked for a consent.
fn plan() -> Plan {
    let mut plan = parts::plan(parts::capabilities());
    plan.policy.standing_consent = false;
    plan.files = vec![HostId(0)];
    plan.consumers = vec![Consumer {
        host: HostId(0),
        delivery: Delivery::Fetch,
        uptake: ReloadMode::Verb,
        files: vec![FileId(0)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    }];
    plan
}

fn scene_of(plan: Plan) -> Scene {
    Scene::of(plan, &[], "id-2", "value-two").with_a_source()
}

fn scene() -> Scene {
    scene_of(plan())
}

/// The driver ends before it begins this operation.
fn before(op: Op) -> Scene {
    let scene = scene();
    *locked(&scene.book.breaks_before) = Some(op);
    assert_eq!(drive(&scene).0, DriverState::Lost);
    scene
}

/// Everything is moved, and a consent is waited for.
fn moved() -> Scene {
    let scene = scene();
    assert!(matches!(drive(&scene).0, DriverState::Person(_)));
    assert_eq!(scene.source().gives(), "value-two");
    scene
}

fn after(scene: &Scene, fact: Fact) -> (DriverState, Box<State>) {
    drive_before(scene, There::Consents, &[Command::Tell(fact)])
}

fn how_often(scene: &Scene, op: &Op) -> usize {
    let entries = scene.book.entries();
    let intended = |event: &&Event| event.fact == Fact::Intended(op.clone());
    entries.iter().filter(intended).count()
}

/// The rotation is done; the source of truth, the store and the consumer have this value.
fn is_done(scene: &Scene, (standing, state): &(DriverState, Box<State>), value: &str) {
    assert_eq!((standing, state.phase(), state.debt()), (&DriverState::Ended, Phase::Done, None));
    assert_eq!(scene.source().gives(), value);
    assert_eq!(scene.safe.current_value(), value);
    assert_eq!(scene.host.loaded(), [value]);
    assert_eq!(scene.source().pending(), None);
}

/// The rotation is rolled back, and nothing of it is left at the source of truth.
fn is_back(scene: &Scene, (standing, state): &(DriverState, Box<State>), gives: &str) {
    assert_eq!((standing, state.phase()), (&DriverState::Ended, Phase::RolledBack));
    assert_eq!((scene.source().gives().as_str(), scene.source().pending()), (gives, None));
    assert_eq!(
        (scene.safe.current_value().as_str(), scene.safe.label(1)),
        ("value-one", Some(Label::Current))
    );
    assert_eq!(scene.host.loaded(), ["value-one"]);
    assert!(!locked(&scene.keys.ended).contains(&"id-1".to_owned()));
}

#[test]
fn the_source_of_truth_gives_out_the_new_version_and_the_store_follows() {
    let scene = before(Op::Promote);
    let beside = (scene.source().gives(), scene.source().pending());
    assert_eq!(beside, ("value-one".to_owned(), Some("value-two".to_owned())), "it is staged beside it");
    is_done(&scene, &drive_before(&scene, There::Consents, &[]), "value-two");
}

#[test]
fn between_the_source_of_truth_and_the_store_the_first_decides() {
    // On the way there the answer is lost: the store was not written yet.
    let scene = scene();
    *locked(&scene.source().loses) = Some("give_out");
    is_done(&scene, &drive_before(&scene, There::Consents, &[]), "value-two");
    assert_eq!(how_often(&scene, &Op::Promote), 1, "it was found, and not carried out again");
    // On the way back too.
    let scene = moved();
    *locked(&scene.source().loses) = Some("give_out");
    is_back(&scene, &after(&scene, Fact::AbortAsked), "value-one");
    assert_eq!(how_often(&scene, &Op::Demote), 1);
}

#[test]
fn a_lost_stage_is_staged_once_more_and_withdrawn_once() {
    let scene = scene();
    *locked(&scene.source().loses) = Some("stage");
    is_done(&scene, &drive_before(&scene, There::Consents, &[]), "value-two");
    let scene = before(Op::Promote);
    *locked(&scene.source().loses) = Some("withdraw");
    is_back(&scene, &after(&scene, Fact::AbortAsked), "value-one");
    assert_eq!(*locked(&scene.keys.ended), ["id-2"]);
}

#[test]
fn a_value_of_another_party_is_refused_before_anything_is_made() {
    let scene = scene();
    scene.source().give("value-of-theirs");
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
    assert_eq!((how_often(&scene, &Op::Mint), scene.source().gives().as_str()), (0, "value-of-theirs"));
}

#[test]
fn a_value_that_another_party_puts_there_meanwhile_is_never_overwritten() {
    for op in [Op::Stage, Op::Promote] {
        let scene = before(op.clone());
        scene.source().give("value-of-theirs");
        for word in [Fact::Clock, Fact::Retried] {
            assert_eq!(after(&scene, word).0, CHANGED, "{op:?}");
            assert_eq!(scene.source().gives(), "value-of-theirs", "{op:?}");
            assert!(locked(&scene.keys.ended).is_empty(), "{op:?}");
        }
        // Forward from there.
        scene.source().give("value-one");
        is_done(&scene, &after(&scene, Fact::Retried), "value-two");
        // And back, where the value of theirs stays.
        let scene = before(op);
        scene.source().give("value-of-theirs");
        assert_eq!(drive(&scene).0, CHANGED);
        is_back(&scene, &after(&scene, Fact::AbortAsked), "value-of-theirs");
    }
}

#[test]
fn a_pending_version_of_another_party_is_neither_replaced_nor_taken_back() {
    let scene = before(Op::Stage);
    scene.source().stage_theirs(Some("value-of-theirs"));
    assert_eq!(drive(&scene).0, CHANGED);
    let (standing, state) = after(&scene, Fact::AbortAsked);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
    assert_eq!(scene.source().pending().as_deref(), Some("value-of-theirs"));

    let scene = before(Op::Stage);
    scene.source().stage_theirs(Some("value-of-theirs"));
    assert_eq!(drive(&scene).0, CHANGED);
    scene.source().stage_theirs(None);
    is_done(&scene, &after(&scene, Fact::Retried), "value-two");
}

#[test]
fn beside_a_value_that_was_put_there_after_promote_nothing_is_ended() {
    for theirs in ["value-one", "value-of-theirs"] {
        let scene = moved();
        scene.source().give(theirs);
        let (standing, state) = drive_before(&scene, There::Consents, &[]);
        assert_eq!(standing, CHANGED, "{theirs}");
        assert!(!state.decided() && locked(&scene.keys.ended).is_empty(), "{theirs}");
        // The operator has looked, and the old or the new version is there again.
        scene.source().give(if theirs == "value-one" { theirs } else { "value-two" });
        is_done(&scene, &after(&scene, Fact::Retried), "value-two");
    }
}

#[test]
fn a_rollback_takes_back_a_version_that_another_party_gave_out() {
    let scene = before(Op::Promote);
    scene.source().give("value-two");
    is_back(&scene, &after(&scene, Fact::AbortAsked), "value-one");
}

/// The consumer, which is about to be moved, is left alone until the operator has looked and this version is there.
#[track_caller]
fn waits_for(scene: &Scene, ours: &str) {
    for theirs in ["value-one", "value-of-theirs"] {
        scene.source().give(theirs);
        assert_eq!(after(scene, Fact::Clock).0, CHANGED, "{theirs}");
        assert_eq!(scene.host.loaded(), ["value-one"]);
    }
    scene.source().give(ours);
    is_done(scene, &after(scene, Fact::Retried), "value-two");
}

#[test]
fn a_consumer_does_not_fetch_a_value_of_another_party() {
    waits_for(&before(Op::Fetch(FETCHER)), "value-one");
}

/// The same consumer, which reads the source of truth itself when it starts.
fn reads_it(op: Option<Op>) -> Scene {
    follows(ReloadMode::Verb, op)
}

fn follows(uptake: ReloadMode, op: Option<Op>) -> Scene {
    let mut plan = plan();
    let fetcher = plan.consumers.remove(0);
    plan.consumers.push(Consumer { delivery: Delivery::Follow, uptake, files: Vec::new(), ..fetcher });
    plan.files.clear();
    let scene = scene_of(plan);
    *locked(&scene.book.breaks_before) = op;
    scene
}

#[test]
fn a_consumer_that_reads_the_source_of_truth_is_moved_by_a_restart() {
    let scene = reads_it(None);
    is_done(&scene, &drive_before(&scene, There::Consents, &[]), "value-two");
    assert_eq!(how_often(&scene, &Op::Apply(FETCHER, 0, Which::New)), 1);
}

#[test]
fn a_consumer_is_not_restarted_to_read_a_value_of_another_party() {
    let scene = reads_it(Some(Op::Apply(FETCHER, 0, Which::New)));
    assert_eq!(drive(&scene).0, DriverState::Lost);
    waits_for(&scene, "value-two");
}

/// Nothing was given out in this rotation: the rollback takes nothing back, and leaves the program alone.
#[test]
fn a_change_before_promote_stays_in_a_rollback_where_a_program_reads_it_itself() {
    for uptake in [ReloadMode::Verb, ReloadMode::Rereads] {
        let scene = follows(uptake, Some(Op::Promote));
        assert_eq!(drive(&scene).0, DriverState::Lost);
        scene.source().give("value-of-theirs");
        for word in [Fact::Clock, Fact::Retried] {
            assert_eq!(after(&scene, word).0, CHANGED, "{uptake:?}");
        }
        let (standing, state) = after(&scene, Fact::AbortAsked);
        assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack), "{uptake:?}");
        assert_eq!(scene.source().gives(), "value-of-theirs", "{uptake:?}");
        assert_eq!(scene.safe.current_value(), "value-one", "{uptake:?}");
        assert_eq!(*locked(&scene.keys.ended), ["id-2"], "{uptake:?}");
        for op in [Op::Demote, Op::Apply(FETCHER, 0, Which::Old)] {
            assert_eq!(how_often(&scene, &op), 0, "{uptake:?}");
        }
    }
}

/// The first attempt may have been carried out: the value of theirs is not overwritten by a rollback either, which ends once
/// the old value is given out again.
#[test]
fn a_rollback_waits_for_the_old_value_where_a_promote_was_in_doubt() {
    let scene = follows(ReloadMode::Verb, Some(Op::Promote));
    assert_eq!(drive(&scene).0, DriverState::Lost);
    // The driver ends with the answer.
    *locked(&scene.book.breaks_at) = Some(Op::Promote);
    assert_eq!(drive(&scene).0, DriverState::Lost);
    scene.source().give("value-of-theirs");
    for word in [Fact::Clock, Fact::AbortAsked, Fact::AbortAsked, Fact::Retried] {
        assert_eq!(after(&scene, word.clone()).0, CHANGED, "{word:?}");
        assert_eq!(scene.source().gives(), "value-of-theirs", "{word:?}");
        assert!(locked(&scene.keys.ended).is_empty(), "{word:?}");
    }
    scene.source().give("value-one");
    is_back(&scene, &after(&scene, Fact::Retried), "value-one");
}

/// Afterwards nobody could tell what it had before.
#[test]
fn the_host_looks_at_what_reads_again_and_again_before_a_version_is_given_out() {
    let scene = follows(ReloadMode::Rereads, None);
    assert!(matches!(drive(&scene).0, DriverState::Person(_)));
    let told = || locked(&scene.host.about_to_give).clone();
    let forward = (Which::New, "value-one".to_owned());
    assert_eq!(told(), std::slice::from_ref(&forward));
    is_back(&scene, &after(&scene, Fact::AbortAsked), "value-one");
    assert_eq!(told(), [forward, (Which::Old, "value-two".to_owned())]);
    // One that is restarted has nothing of before.
    let scene = reads_it(None);
    is_done(&scene, &drive_before(&scene, There::Consents, &[]), "value-two");
    assert_eq!(locked(&scene.host.about_to_give).len(), 0);
}

#[test]
fn a_version_that_is_given_up_makes_way_for_the_next() {
    let leaked = || Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true };
    // It was staged.
    let scene = before(Op::Promote);
    is_done(&scene, &after(&scene, leaked()), "value-two-1");
    // It was given out.
    let scene = moved();
    is_done(&scene, &after(&scene, leaked()), "value-two-1");
    // It was given out, and another party has changed that.
    let scene = moved();
    scene.source().give("value-of-theirs");
    assert_eq!(after(&scene, leaked()).0, CHANGED);
    assert_eq!(scene.source().gives(), "value-of-theirs");
}

#[test]
fn while_the_source_of_truth_is_away_nothing_is_ended_and_both_keys_are_kept() {
    let patient = |op: Option<Op>| {
        let mut plan = plan();
        plan.policy.on_failure = OnFailure::Pause;
        (plan.policy.phase_ms_max, plan.policy.unit_ms_max) = (400, 400);
        let scene = scene_of(plan);
        locked(&scene.book.breaks_before).clone_from(&op);
        drive(&scene);
        scene.source().away.store(true, Ordering::SeqCst);
        scene
    };
    for op in [Some(Op::Stage), Some(Op::Promote), None] {
        let scene = patient(op.clone());
        let (standing, state) = drive_before(&scene, There::Consents, &[]);
        assert!(matches!(standing, DriverState::Held(Hold::Paused(_))), "{op:?}: {standing:?}");
        assert!(!state.decided() && locked(&scene.keys.ended).is_empty(), "{op:?}");
        scene.source().away.store(false, Ordering::SeqCst);
        is_done(&scene, &after(&scene, Fact::Resumed), "value-two");
    }
    // On the way back the new key is not ended either.
    let scene = patient(Some(Op::Promote));
    let (standing, _) = after(&scene, Fact::AbortAsked);
    assert!(matches!(standing, DriverState::Held(Hold::Stuck(_))), "{standing:?}");
    assert!(locked(&scene.keys.ended).is_empty());
    scene.source().away.store(false, Ordering::SeqCst);
    is_back(&scene, &after(&scene, Fact::Retried), "value-one");
}
