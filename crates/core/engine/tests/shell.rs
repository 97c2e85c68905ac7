//! The shell around whole rotations, on ports in memory: what it may never end, and where it may break off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyroll_engine::{
    Command, DriverState, Ending, Input, Limit, Note, Observer, ObserverReply, Pace, Spawner as _, Task,
    TokioSpawner, run,
};
use keyroll_port::{Described, Label, Probe, RotationId, digest_of_failure};
use keyroll_rotation::{
    Capabilities, Consumer, CredId, Delivery, Emergency, Event, Fact, FileId, Hold, HostId, LastUsed,
    MintedBy, OldKey, Op, Outcome, Overlap, Person, Phase, Plan, Reason, Refusals, ReloadMode, Seq, State,
    Waived, Which, digest_of_life,
};
use tokio::sync::mpsc;

use crate::parts::machine::Mishap;
use crate::parts::{self, Scene, capabilities, locked, plan};

/// A rotation here takes milliseconds; one that stands is told by this.
const RUN_S_MAX: u64 = 20;

/// Who is there while a rotation is driven.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    Nobody,
    /// Resumes what stands still, and consents.
    Consents,
    /// Is asked, and thinks about it.
    Thinks,
}

struct Quiet(Vec<String>, There);

impl Observer for Quiet {
    fn appended(&mut self, _: Seq, _: &Event, _: &State) {}
    fn note(&mut self, note: Note) {
        self.0.push(format!("{note:?}"));
    }
    fn standing(&mut self, standing: &DriverState, _: &State) -> ObserverReply {
        let DriverState::Person(people) = standing else { return ObserverReply::Nobody };
        match (self.1, people.as_slice()) {
            (There::Consents, [Person::Consent(digest)]) => {
                ObserverReply::Say(Command::Tell(Fact::Consented(*digest)))
            }
            (There::Thinks, _) => ObserverReply::Awaited,
            _ => ObserverReply::Nobody,
        }
    }
}

pub(crate) fn pace() -> Pace {
    Pace {
        probe_ms: 1,
        prove_ms: 1,
        watch_ms: 1,
        enumerate_ms: 1,
        issuer_ms: 1,
        reconcile_ms: 1,
        retry_ms: 1,
        clock_ms: 5,
        look_ms_max: 5_000,
        host_look_ms_max: 5_000,
        carry_ms_max: 5_000,
        leave_ms_max: 200,
    }
}

pub(crate) fn drive(scene: &Scene) -> (DriverState, Box<State>) {
    drive_before(scene, There::Nobody, &[])
}

pub(crate) fn drive_before(scene: &Scene, there: There, first: &[Command]) -> (DriverState, Box<State>) {
    drive_at(scene, there, first, pace())
}

fn drive_at(scene: &Scene, there: There, first: &[Command], pace: Pace) -> (DriverState, Box<State>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (tell, commands) = mpsc::channel(8);
        for command in first {
            tell.send(command.clone()).await.unwrap();
        }
        let mut quiet = Quiet(Vec::new(), there);
        let id = RotationId("0192".to_owned());
        let driving = run(scene.ports(), id, pace, commands, &mut quiet);
        let ended = tokio::time::timeout(Duration::from_secs(RUN_S_MAX), driving).await;
        match ended {
            Ok(Ending::At(standing, state)) => (standing, state),
            Ok(Ending::Left(state)) => (DriverState::Driving, state),
            Ok(other) => panic!("{other:?}: {:?}", quiet.0),
            Err(_) => panic!("it stands: {:?}", quiet.0),
        }
    })
}

#[test]
fn a_rotation_ends_the_old_key_and_no_other() {
    let scene = Scene::new("id-2", "value-two");
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
    assert_eq!((scene.safe.label(1), scene.safe.label(2)), (Some(Label::Retired), Some(Label::Current)));
}

/// The look that a consent is compared with is none that is repeated in vain.
#[test]
fn after_a_consent_one_looks_at_once() {
    let scene = Scene::unconsented(capabilities(), &[]);
    // Within one phase nobody looks twice.
    let seldom = Pace { enumerate_ms: 3_600_000, ..pace() };
    let (standing, state) = drive_at(&scene, There::Consents, &[], seldom);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
}

/// A holder that was there at one look alone was about to end; one that stays is the operator's to explain.
#[test]
fn who_is_met_once_holds_nothing_up() {
    let ended = |looks: u32| {
        let scene = Scene::new("id-2", "value-two");
        *locked(&scene.host.strange_looks) = looks;
        let (_, state) = drive(&scene);
        (state.phase(), state.hold())
    };
    assert_eq!(ended(1), (Phase::Done, None));
    let (phase, hold) = ended(u32::MAX);
    assert_eq!(phase, Phase::Quiesce);
    assert!(matches!(hold, Some(Hold::Paused(Reason::Holder(_)))), "{hold:?}");
}

/// A process of this machine is looked at when it is shown, one of another host is not.
#[test]
fn an_undeclared_process_of_another_host_alone_is_described_in_the_journal() {
    let remembered = |host: u16| {
        let scene = Scene::new("id-2", "value-two");
        *locked(&scene.host.strange_looks) = u32::MAX;
        *locked(&scene.host.strange_host) = host;
        drive(&scene);
        let names = locked(&scene.book.names).clone();
        (names.get(&digest_of_life(scene.host.stranger())).cloned(), names.len())
    };
    let (text, count) = remembered(1);
    let described = text.as_deref().and_then(Described::read).expect("it is remembered by its life");
    assert_eq!((described.name.as_str(), described.found_by.as_str()), ("forgotten", "found in its memory"));
    assert_eq!(count, 1);
    assert_eq!(remembered(0), (None, 0));
}

/// A list without the old key says nothing of its last use: it is read again, and the key is not ended meanwhile.
#[test]
fn a_list_without_the_old_key_does_not_show_it_unused() {
    let last_used = LastUsed::PerKey { lag_ms: 1, granularity_ms: 1 };
    let scene = Scene::with(Capabilities { last_used, ..capabilities() }, &[], "id-2", "value-two");
    scene.keys.incomplete_lists.store(40, Ordering::SeqCst);
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
    let facts: Vec<Fact> = scene.book.entries().into_iter().map(|event| event.fact).collect();
    let used = facts.iter().position(|fact| matches!(fact, Fact::LastUsed(_))).expect("its use was seen");
    // The first lists are the incomplete ones: none of them comes after an answer about the use.
    let incomplete = |fact: &Fact| matches!(fact, Fact::Listed { complete: false, .. });
    assert!(!facts[used..].iter().any(incomplete), "an incomplete list said when the key was used");
}

/// Preflight used the key: an issuer that shows no use of it says nothing about the others.
#[test]
fn an_entry_without_a_time_does_not_show_the_old_key_unused() {
    let last_used = LastUsed::PerKey { lag_ms: 1, granularity_ms: 1 };
    let mut plan = plan(Capabilities { last_used, ..capabilities() });
    plan.policy.phase_ms_max = 300;
    let scene = Scene::of(plan, &[], "id-2", "value-two");
    scene.keys.hides_use.store(true, Ordering::SeqCst);
    let (standing, state) = drive(&scene);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::LastUseNotShown)));
    assert!(locked(&scene.keys.ended).is_empty(), "{:?}", state.phase());
    // The consent that the configuration gives does not cover a waiver.
    let waived = Command::Tell(Fact::Waived(Waived::LastUse));
    let (standing, state) = drive_before(&scene, There::Consents, &[waived]);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
}

#[test]
fn a_mint_that_answers_with_the_key_in_use_ends_nothing() {
    let scene = Scene::new("id-1", "value-one");
    let (standing, state) = drive(&scene);
    assert!(locked(&scene.keys.ended).is_empty(), "the only key was ended");
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
}

/// At an issuer without labels, which lists a new key four seconds late and says five; its answer to the mint is lost.
fn unlabelled() -> Scene {
    let able = Capabilities { minted_by: MintedBy::Us, label: false, birth_ms_max: 5_000, ..capabilities() };
    let scene = Scene::with(able, &[], "id-2", "value-two");
    scene.keys.lag_ms.store(4_000, Ordering::SeqCst);
    *locked(&scene.fate.at) = Some((0, Mishap::Lost));
    scene
}

#[test]
fn a_colleagues_key_is_never_taken_for_one_whose_answer_was_lost() {
    // It was there before.
    let scene = unlabelled();
    locked(&scene.keys.alive).insert("value-of-a-colleague".to_owned(), "id-9".to_owned());
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);

    // What the store takes in as secret is cut out of all output: an id never is, also if it is the only one.
    let scene = unlabelled();
    drive(&scene);
    let secrets = locked(&scene.safe.secrets);
    assert!(secrets.iter().any(|it| it.contains("id-1")) && !secrets.contains("id-1"), "{secrets:?}");

    // It came at the same time, and ours is listed even later than the issuer says: both keys are kept, and the operator
    // is asked.
    let scene = unlabelled();
    scene.keys.lag_ms.store(5_500, Ordering::SeqCst);
    *locked(&scene.keys.colleagues) = Some(("id-9".to_owned(), "value-of-a-colleague".to_owned()));
    let (standing, state) = drive(&scene);
    assert!(matches!(standing, DriverState::Held(Hold::Stuck(Reason::Unclear(_)))), "{standing:?}");
    assert!(state.new_version().is_none() && locked(&scene.keys.ended).is_empty());
}

/// Without a label nothing shows whose a new key is: it is left to the operator, who says when the rotation goes on.
#[test]
fn a_key_whose_value_is_lost_and_that_has_no_label_is_left_to_the_operator() {
    let able = Capabilities { label: false, overlap: Overlap::TwoSlots, ..capabilities() };
    let scene = Scene::with(able, &[], "id-2", "value-two");
    *locked(&scene.fate.at) = Some((0, Mishap::Lost));
    let (standing, state) = drive(&scene);
    assert!(matches!(standing, DriverState::Held(Hold::Stuck(Reason::Unclear(_)))), "{standing:?}");
    assert!(state.new_version().is_none() && locked(&scene.keys.ended).is_empty());
    // The operator has deleted it.
    locked(&scene.keys.alive).remove("value-two");
    let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::Retried)]);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
}

/// The next mint replaces what the lost one made: nobody is asked, and nothing is searched for.
#[test]
fn a_lost_mint_that_the_next_one_replaces_is_repeated() {
    let able = Capabilities {
        label: false,
        mint_replaces: true,
        birth_ms_max: 5_000,
        overlap: Overlap::TwoSlots,
        ..capabilities()
    };
    let scene = Scene::with(able, &[], "id-2", "value-two");
    *locked(&scene.fate.at) = Some((0, Mishap::Lost));
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done));
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
}

/// From an unknown outcome on, every list is incomplete.
struct Overlooks(Arc<parts::Keys>, Vec<String>);

impl Observer for Overlooks {
    fn appended(&mut self, _: Seq, event: &Event, _: &State) {
        if matches!(event.fact, Fact::Ended { outcome: Outcome::Unknown, .. }) {
            self.0.incomplete_lists.store(u64::MAX, Ordering::SeqCst);
        }
    }
    fn note(&mut self, note: Note) {
        self.1.push(format!("{note:?}"));
    }
    fn standing(&mut self, _: &DriverState, _: &State) -> ObserverReply {
        ObserverReply::Nobody
    }
}

/// The lost key may be one that the list does not have: then the operator looks.
#[test]
fn an_incomplete_list_of_keys_is_told_where_a_key_is_lost() {
    let able = Capabilities { label: false, overlap: Overlap::TwoSlots, ..capabilities() };
    let scene = Scene::with(able, &[], "id-2", "value-two");
    *locked(&scene.fate.at) = Some((0, Mishap::Lost));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut overlooks = Overlooks(scene.keys.clone(), Vec::new());
    let ended = runtime.block_on(async {
        let (_tell, commands) = mpsc::channel(8);
        let driving = run(scene.ports(), RotationId("0192".to_owned()), pace(), commands, &mut overlooks);
        tokio::time::timeout(Duration::from_secs(RUN_S_MAX), driving).await
    });
    let Ok(Ending::At(DriverState::Held(Hold::Stuck(_)), _)) = &ended else { panic!("{ended:?}") };
    let told = overlooks.1.join("\n");
    for word in ["its keys is incomplete", "list the keys at the issuer's console", "it lists id-2"] {
        assert!(told.contains(word), "'{word}' is not said: {told}");
    }
}

#[test]
fn a_new_key_that_a_person_ends_is_dead_only_beside_an_accepted_one() {
    let scene = Scene::unconsented(capabilities(), &[]);
    let (standing, _) = drive(&scene);
    assert!(matches!(standing, DriverState::Person(_)), "{standing:?}");
    // An issuer that refuses everything while the new key is seen dead during a rollback.
    scene.keys.console.store(true, Ordering::SeqCst);
    scene.keys.refuses_meanwhile.store(true, Ordering::SeqCst);
    let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::AbortAsked)]);
    assert!(matches!(standing, DriverState::Held(Hold::Stuck(_))), "{standing:?}");
    assert_eq!(state.phase(), Phase::RollingBack);
    assert!(scene.safe.sealed().contains("value-two"), "both are kept");
    // It is over, and the person has ended it.
    scene.keys.refuses_meanwhile.store(false, Ordering::SeqCst);
    locked(&scene.keys.alive).remove("value-two");
    let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::Retried)]);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
}

#[test]
fn one_id_with_two_values_ends_nothing() {
    let scene = Scene::new("id-1", "value-two");
    let (_, state) = drive(&scene);
    assert!(locked(&scene.keys.ended).is_empty(), "both values were ended with their id");
    assert!(state.phase() != Phase::Done || state.debt().is_some(), "{:?}", state.phase());
}

/// The refusal comes before any consumer is moved, and not at the end of the old key.
#[test]
fn a_mint_that_answers_with_a_known_id_is_refused_and_both_values_are_kept() {
    let independent = || Scene::new("id-1", "value-two");
    let two_slots = || {
        let able = Capabilities { overlap: Overlap::TwoSlots, ..capabilities() };
        Scene::with(able, &[], "id-1", "value-two")
    };
    let former = || {
        let scene = Scene::new("id-0", "value-two");
        scene.safe.add_retired("id-0", "value-of-before");
        scene
    };
    // The answer is lost, and the value that we chose works under the old key's id.
    let chosen = || {
        let able = Capabilities { minted_by: MintedBy::Us, ..capabilities() };
        let scene = Scene::with(able, &[], "id-1", "value-two");
        *locked(&scene.fate.at) = Some((0, Mishap::Lost));
        scene
    };
    for (case, scene) in
        [("independent", independent()), ("two slots", two_slots()), ("former", former()), ("lost", chosen())]
    {
        let (standing, state) = drive(&scene);
        let stuck = matches!(standing, DriverState::Held(Hold::Stuck(Reason::Unclear(_))));
        assert!(stuck && state.phase() == Phase::Mint, "{case}: {standing:?} {:?}", state.phase());
        assert!(state.new_version().is_none() && locked(&scene.keys.ended).is_empty(), "{case}");
        let sealed = scene.safe.sealed();
        assert!(sealed.contains("value-one") && sealed.contains("value-two"), "{case}: {sealed:?}");
        assert_eq!(scene.safe.current_value(), "value-one", "{case}");
    }
}

/// What is refused then would be the only value that works.
#[test]
fn a_value_that_the_issuer_replaced_under_its_id_is_not_given_up() {
    let scene = Scene::new("id-1", "value-two");
    scene.keys.replaces.store(true, Ordering::SeqCst);
    let (_, state) = drive(&scene);
    assert!(state.new_version().is_some(), "{:?}", state.phase());
    assert!(locked(&scene.keys.ended).is_empty() && locked(&scene.keys.alive).contains_key("value-two"));
}

#[test]
fn a_label_that_the_journal_does_not_know_freezes_before_anything_is_ended() {
    let scene = Scene::new("id-2", "value-two");
    locked(&scene.keys.alive).insert("value-of-before".to_owned(), "id-9".to_owned());
    locked(&scene.keys.labels).insert("id-9".to_owned(), "keyroll/0099/3".to_owned());
    let (standing, state) = drive(&scene);
    assert!(matches!(standing, DriverState::Held(Hold::Stuck(Reason::UnknownLabel(_)))), "{standing:?}");
    assert!(locked(&scene.keys.ended).is_empty() && !state.decided());
    // A rollback gives the old value back all the same, and leaves that key alone.
    let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::AbortAsked)]);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
    assert_eq!(*locked(&scene.keys.ended), ["id-2"]);
}

#[test]
fn a_key_of_another_keyroll_is_left_alone_by_its_id_and_its_label() {
    let label = "keyroll/0099/3";
    let left = |other: (&str, &str)| {
        let scene = Scene::new("id-2", "value-two");
        locked(&scene.keys.alive).insert("value-of-another".to_owned(), "id-9".to_owned());
        locked(&scene.keys.labels).insert("id-9".to_owned(), label.to_owned());
        locked(&scene.keys.of_others).insert((other.0.to_owned(), other.1.to_owned()));
        let (standing, state) = drive(&scene);
        assert!(!locked(&scene.keys.ended).contains(&"id-9".to_owned()));
        (standing, state.phase())
    };
    assert_eq!(left(("id-9", label)), (DriverState::Ended, Phase::Done));
    for other in [("id-8", label), ("id-9", "keyroll/0099/4"), ("id-9", "keyroll/0098/3")] {
        let (standing, _) = left(other);
        assert!(matches!(standing, DriverState::Held(Hold::Stuck(Reason::UnknownLabel(_)))), "{standing:?}");
    }
}

#[test]
fn a_use_that_is_refused_after_the_soak_is_heard_before_the_point_of_no_return() {
    let able = Capabilities { disable: true, refusals: Refusals::ConsumerLogs, ..parts::capabilities() };
    for quiet in 1..3 {
        let told: Vec<u32> = std::iter::repeat_n(0, quiet).chain([1]).collect();
        let scene = Scene::with(able.clone(), &told, "id-2", "value-two");
        let (standing, state) = drive(&scene);
        if state.phase() == Phase::Done {
            // The soak and Decide asked fewer times than the log stayed quiet.
            assert!(quiet > 1);
            continue;
        }
        assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)), "{quiet}");
        assert!(locked(&scene.keys.ended).is_empty() && locked(&scene.keys.off).is_empty(), "{quiet}");
    }
}

#[test]
fn a_driver_that_ends_behind_any_effect_leaves_a_rotation_that_goes_on() {
    let effects = [Op::Mint, Op::Stage, Op::Promote, Op::Revoke, Op::Retire(Which::Old)];
    for op in effects {
        let scene = Scene::new("id-2", "value-two");
        *locked(&scene.book.breaks_at) = Some(op.clone());
        let (standing, _) = drive(&scene);
        assert_eq!(standing, DriverState::Lost, "{op:?}");
        let (standing, state) = drive(&scene);
        assert_eq!(
            (standing, state.phase(), state.debt()),
            (DriverState::Ended, Phase::Done, None),
            "{op:?}"
        );
        assert_eq!(scene.safe.label(2), Some(Label::Current), "{op:?}");
        assert!(locked(&scene.keys.alive).contains_key("value-two"), "{op:?}");
        assert!(!locked(&scene.keys.alive).contains_key("value-one"), "{op:?}");
    }
}

/// The new value leaked after it was promoted: it is given up, and another one is minted.
fn leaked(scene: &Scene) -> (DriverState, Box<State>) {
    *locked(&scene.book.breaks_at) = Some(Op::Promote);
    assert_eq!(drive(scene).0, DriverState::Lost);
    let mode = Emergency::RollFirst;
    let escalated = Fact::Escalated { mode, pending_compromised: true };
    drive_before(scene, There::Nobody, &[Command::Tell(escalated)])
}

#[test]
fn a_version_that_was_given_up_leaves_the_store_once_it_is_deleted() {
    let calm = Scene::new("id-2", "value-two");
    let (standing, _) = leaked(&calm);
    assert_eq!(standing, DriverState::Ended);
    assert_eq!(*locked(&calm.keys.ended), ["id-1", "id-2"]);
    for mishap in [Mishap::Lost, Mishap::Failed, Mishap::FailedForGood] {
        // Behind the first three the new version is current, and it leaks.
        for at in 3..calm.fate.count() {
            let scene = Scene::new("id-2", "value-two");
            *locked(&scene.fate.at) = Some((at, mishap));
            let (mut standing, mut state) = leaked(&scene);
            for _ in 0..3 {
                let alive = locked(&scene.keys.alive).contains_key("value-two");
                assert!(
                    !alive || scene.safe.sealed().contains("value-two"),
                    "{mishap:?} {at}: dropped alive"
                );
                if standing == DriverState::Ended && state.debt().is_none() {
                    break;
                }
                let word = if state.debt().is_some() { Fact::Resumed } else { Fact::Retried };
                (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(word)]);
            }
            let ended = (standing, state.phase(), state.debt());
            assert_eq!(ended, (DriverState::Ended, Phase::Done, None), "{mishap:?} {at}");
            assert_eq!(scene.safe.label(2), Some(Label::Retired), "{mishap:?} {at}");
            assert_eq!(scene.safe.sealed(), [scene.safe.current_value()].into(), "{mishap:?} {at}");
        }
    }
}

#[test]
fn a_driver_that_ends_behind_a_deletion_leaves_the_drop_to_the_next() {
    for op in [Op::DeleteAbandoned(CredId::new("id-2")), Op::Retire(Which::Old)] {
        let scene = Scene::new("id-2", "value-two");
        *locked(&scene.book.breaks_at) = Some(Op::Promote);
        assert_eq!(drive(&scene).0, DriverState::Lost);
        *locked(&scene.book.breaks_at) = Some(op.clone());
        let mode = Emergency::RollFirst;
        let escalated = Fact::Escalated { mode, pending_compromised: true };
        let (standing, _) = drive_before(&scene, There::Nobody, &[Command::Tell(escalated)]);
        assert_eq!(standing, DriverState::Lost, "{op:?}");
        assert!(!scene.safe.sealed().contains("value-two"), "{op:?}");
        assert_eq!(drive(&scene).0, DriverState::Ended, "{op:?}");
        assert_eq!(scene.safe.sealed(), [scene.safe.current_value()].into(), "{op:?}");
    }
}

#[test]
fn what_stands_for_a_version_goes_only_with_its_deletion() {
    let back = |mishap: Option<(usize, Mishap)>| {
        let scene = Scene::new("id-2", "value-two");
        *locked(&scene.book.breaks_at) = Some(Op::Promote);
        drive(&scene);
        *locked(&scene.fate.at) = mishap;
        let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::AbortAsked)]);
        (scene, standing, state)
    };
    let (calm, standing, state) = back(None);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::RolledBack));
    assert_eq!(*locked(&calm.host.struck), ["value-two"]);
    for mishap in [Mishap::Lost, Mishap::Failed, Mishap::FailedForGood] {
        for at in 3..calm.fate.count() {
            let (scene, ..) = back(Some((at, mishap)));
            let struck = !locked(&scene.host.struck).is_empty();
            let ended = locked(&scene.keys.ended).contains(&"id-2".to_owned());
            assert!(!struck || ended, "{mishap:?} {at}: taken out beside a living login");
        }
    }
}

/// A consumer that reads its only file again.
pub(crate) fn add_reader(plan: &mut Plan) {
    plan.files.push(HostId(0));
    plan.consumers.push(Consumer {
        host: HostId(0),
        delivery: Delivery::Push,
        uptake: ReloadMode::Rereads,
        files: vec![FileId(0)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    });
}

/// The driver ends between the end of a login and the line that stands for it: the next version has its name. Where the
/// versions have names of their own, the login may live on.
#[test]
fn what_a_deletion_that_was_cut_short_left_goes_before_the_next_is_delivered() {
    for (overlap, struck) in [(Overlap::TwoSlots, true), (Overlap::Independent { max: 0 }, false)] {
        let mut plan = parts::plan(Capabilities { overlap, ..capabilities() });
        add_reader(&mut plan);
        let scene = Scene::of(plan, &[], "id-2", "value-two");
        let first = Op::Deliver(FileId(0), Which::New);
        let escalated = Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false };
        for (op, word) in
            [(Op::Promote, None), (Op::DeleteNew, Some(Fact::AbortAsked)), (first, Some(escalated))]
        {
            *locked(&scene.book.breaks_at) = Some(op.clone());
            let words: Vec<_> = word.into_iter().map(Command::Tell).collect();
            // As if it had ended right behind the deletion.
            locked(&scene.host.struck).clear();
            let (standing, _) = drive_before(&scene, There::Nobody, &words);
            assert_eq!(standing, DriverState::Lost, "{op:?}");
        }
        assert!(locked(&scene.keys.ended).contains(&"id-2".to_owned()));
        assert_eq!(*locked(&scene.host.struck), vec!["value-two"; usize::from(struck)]);
    }
}

#[test]
fn what_was_deleted_on_a_way_back_that_was_left_leaves_the_store_too() {
    let scene = Scene::new("id-2", "value-two");
    *locked(&scene.book.breaks_at) = Some(Op::Promote);
    drive(&scene);
    *locked(&scene.book.breaks_after) = Some(Op::DeleteNew);
    let (standing, _) = drive_before(&scene, There::Nobody, &[Command::Tell(Fact::AbortAsked)]);
    assert_eq!(standing, DriverState::Lost);
    assert_eq!(
        (&*locked(&scene.keys.ended), scene.safe.label(2)),
        (&vec!["id-2".to_owned()], Some(Label::Pending))
    );
    let escalated = Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false };
    let (standing, state) = drive_before(&scene, There::Nobody, &[Command::Tell(escalated)]);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done));
    assert_eq!(scene.safe.sealed(), [scene.safe.current_value()].into());
}

/// Where one look does not tell who is idle, an emergency looks again before it goes on: nobody comes back to it.
#[test]
fn a_session_that_is_not_known_to_be_idle_yet_ends_with_a_leaked_key() {
    let scene = Scene::with(Capabilities { sessions: true, ..capabilities() }, &[], "id-2", "value-two");
    *locked(&scene.keys.unknown_looks) = Some(1);
    *locked(&scene.book.breaks_at) = Some(Op::Mint);
    let escalated = Fact::Escalated { mode: Emergency::RevokeNow, pending_compromised: false };
    let (standing, _) = drive_before(&scene, There::Nobody, &[Command::Tell(escalated)]);
    assert_eq!(standing, DriverState::Lost);
    assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
    assert_eq!(*locked(&scene.keys.unknown_looks), None, "it outlives the key that it was opened with");
}

fn with_a_switch() -> Capabilities {
    Capabilities { disable: true, refusals: Refusals::ConsumerLogs, ..parts::capabilities() }
}

#[test]
fn a_switch_off_that_came_half_way_is_carried_out_again() {
    for half in [false, true] {
        let scene = Scene::with(with_a_switch(), &[], "id-2", "value-two");
        *locked(&scene.book.breaks_at) = Some(Op::Disable);
        assert_eq!(drive(&scene).0, DriverState::Lost);
        assert!(locked(&scene.keys.off).contains("id-1"));
        *locked(&scene.keys.half_off) = half;
        let (standing, state) = drive(&scene);
        assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done), "{half}");
        assert!(!*locked(&scene.keys.half_off));
        assert_eq!(intended(&scene, &Op::Disable).len(), 1 + usize::from(half));
    }
}

/// Between the proofs and the end of the old key the issuer may lose the new one: then the old one is all that is left.
#[test]
fn the_old_key_is_not_ended_while_the_new_one_is_refused() {
    for capabilities in [with_a_switch(), capabilities()] {
        let scene = Scene::unconsented(capabilities, &[0]);
        let (_, state) = drive(&scene);
        let resumes: Vec<Command> = state.hold().map(|_| Command::Tell(Fact::Resumed)).into_iter().collect();
        let lost = locked(&scene.keys.alive).remove("value-two").unwrap();
        let (_, state) = drive_before(&scene, There::Consents, &resumes);
        assert_eq!(state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
        assert!(!state.decided(), "the way back is open");
        let kept = locked(&scene.keys.ended).is_empty() && locked(&scene.keys.off).is_empty();
        assert!(kept && locked(&scene.keys.alive).contains_key("value-one"), "the last key was ended");
        // It is accepted again.
        locked(&scene.keys.alive).insert("value-two".to_owned(), lost);
        let resumes = [Command::Tell(Fact::Resumed)];
        let (standing, state) = drive_before(&scene, There::Consents, &resumes);
        assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
        assert_eq!(*locked(&scene.keys.ended), ["id-1"]);
    }
}

/// An endpoint that does not answer keeps a key that is merely due, and not a leaked one. With *revoke now* a leaked key
/// ends whatever the new one is.
#[test]
fn a_leaked_key_is_kept_only_where_the_new_one_is_refused() {
    let escalated = |mode| Some(Command::Tell(Fact::Escalated { mode, pending_compromised: false }));
    let silent = || Probe::Unknown(String::new());
    for (first, instead, ended, reason) in [
        (escalated(Emergency::RollFirst), Probe::Dead, false, Some(Reason::NewKeyRefused)),
        (escalated(Emergency::RollFirst), silent(), true, None),
        // Nothing would show the old one dead beside a new one that is refused: that is told.
        (escalated(Emergency::RevokeNow), Probe::Dead, true, Some(Reason::NewKeyRefused)),
        (None, silent(), false, Some(Reason::Overdue(Phase::Decide))),
    ] {
        let scene = Scene::shortly();
        drive(&scene);
        *locked(&scene.keys.instead) = Some(instead);
        let first: Vec<Command> = first.into_iter().collect();
        let (_, state) = drive_before(&scene, There::Consents, &first);
        assert_eq!(locked(&scene.keys.ended).contains(&"id-1".to_owned()), ended, "{first:?}");
        assert_eq!(state.hold().map(Hold::reason), reason, "{first:?}");
    }
}

/// After the point of no return another key takes the place of one that is refused.
#[test]
fn a_new_key_that_is_refused_after_the_decision_is_replaced() {
    let scene = Scene::new("id-2", "value-two");
    *locked(&scene.book.breaks_before) = Some(Op::Revoke);
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.decided()), (DriverState::Lost, true));
    locked(&scene.keys.alive).remove("value-two").unwrap();
    let (_, state) = drive(&scene);
    assert_eq!(state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
    assert!(locked(&scene.keys.ended).is_empty(), "the last key was ended");
    let anew = Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true };
    let (standing, state) = drive_before(&scene, There::Consents, &[Command::Tell(anew)]);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
    let alive: Vec<String> = locked(&scene.keys.alive).keys().cloned().collect();
    assert_eq!(alive, ["value-two-1"]);
}

#[test]
fn nobody_to_consent_leaves_the_old_key_on() {
    let scene = Scene::unconsented(with_a_switch(), &[]);
    let (standing, state) = drive(&scene);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::Consent)));
    assert_eq!(state.old_key(), OldKey::On);
    assert!(locked(&scene.keys.off).is_empty() && locked(&scene.keys.ended).is_empty());
    // It was off, and was seen alive after it was enabled.
    let facts: Vec<Fact> = scene.book.entries().into_iter().map(|event| event.fact).collect();
    let enabled = facts.iter().position(|fact| *fact == Fact::Intended(Op::Enable)).expect("it was off");
    assert!(facts[enabled..].iter().any(|fact| matches!(fact, Fact::Probed { version: Which::Old, .. })));
    // Resuming begins again at Quiesce, and this time somebody is there.
    let resumed = [Command::Tell(Fact::Resumed)];
    let (standing, state) = drive_before(&scene, There::Consents, &resumed);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
    let switched = scene.book.entries().into_iter().filter(|event| event.fact == Fact::Intended(Op::Disable));
    assert_eq!(switched.count(), 2);
}

#[test]
fn a_list_that_misses_the_old_key_once_does_not_pass_the_point_of_no_return() {
    let scene = Scene::unconsented(with_a_switch(), &[]);
    *locked(&scene.keys.overlooks) = true;
    let (_, state) = drive(&scene);
    assert!(!*locked(&scene.keys.overlooks), "no list was asked for while it was off");
    assert!(!state.decided() && state.old_key() == OldKey::On, "{:?}, {:?}", state.phase(), state.old_key());
}

#[test]
fn where_nothing_was_switched_off_consent_is_simply_waited_for() {
    let scene = Scene::unconsented(parts::capabilities(), &[]);
    let (standing, state) = drive(&scene);
    assert!(matches!(standing, DriverState::Person(_)), "{standing:?}");
    assert_eq!((state.phase(), state.hold()), (Phase::Decide, None));
}

#[test]
fn a_driver_that_is_asked_to_leave_switches_the_old_key_on_first() {
    // The word to leave comes while somebody is being asked.
    let scene = Scene::unconsented(with_a_switch(), &[]);
    let (_, state) = drive_before(&scene, There::Thinks, &[Command::Unanswered]);
    assert_eq!((state.old_key(), state.hold()), (OldKey::On, Some(Hold::Paused(Reason::Consent))));
    assert!(locked(&scene.keys.off).is_empty());
}

/// A rotation whose first Disable has its effect and no answer, and somebody is refused right after it.
fn disable_lost(capabilities: Capabilities) -> (Scene, DriverState, Box<State>) {
    for at in 0..20 {
        let scene = Scene::with(capabilities.clone(), &[], "id-2", "value-two");
        *locked(&scene.host.refused_at_first) = 1;
        *locked(&scene.fate.at) = Some((at, Mishap::Lost));
        let (standing, state) = drive(&scene);
        let intent = intended(&scene, &Op::Disable).first().copied();
        let lost = |event: &Event| matches!(event.fact, Fact::Ended { intent: of, outcome: Outcome::Unknown } if Some(of) == intent);
        if scene.book.entries().iter().any(lost) {
            return (scene, standing, state);
        }
    }
    panic!("no effect of a rotation is its Disable");
}

/// The entries that began this operation.
fn intended(scene: &Scene, op: &Op) -> Vec<Seq> {
    let entries = scene.book.entries();
    let begun = (1..).zip(&entries).filter(|(_, event)| event.fact == Fact::Intended(op.clone()));
    begun.map(|(seq, _)| seq).collect()
}

#[test]
fn whoever_is_refused_between_a_lost_disable_and_its_repetition_is_heard() {
    // Nothing shows that it had its effect: it is sent again, and counted from the first time on.
    let blind = Capabilities { list: false, label: false, ..with_a_switch() };
    let (scene, standing, state) = disable_lost(blind);
    assert_eq!(intended(&scene, &Op::Disable).len(), 2);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)));
    assert_eq!(state.old_key(), OldKey::On);
    assert!(locked(&scene.keys.ended).is_empty() && locked(&scene.keys.off).is_empty());
}

#[test]
fn a_lost_disable_that_a_list_shows_is_not_sent_again() {
    let (scene, standing, _) = disable_lost(with_a_switch());
    assert_eq!(intended(&scene, &Op::Disable).len(), 1);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)));
    assert!(locked(&scene.keys.ended).is_empty() && locked(&scene.keys.off).is_empty());
}

#[test]
fn beside_a_store_that_was_put_back_alone_nothing_is_ended() {
    for behind in [Op::Disable] {
        let mut plan = parts::plan(with_a_switch());
        plan.policy.phase_ms_max = 400;
        let scene = Scene::of(plan, &[], "id-2", "value-two");
        *locked(&scene.book.breaks_at) = Some(behind.clone());
        assert_eq!(drive(&scene).0, DriverState::Lost, "{behind:?}");
        scene.safe.put_back_older();
        for word in [Fact::Clock, Fact::Resumed, Fact::Retried] {
            let (standing, state) = drive_before(&scene, There::Consents, &[Command::Tell(word)]);
            let stands = matches!(standing, DriverState::Held(_) | DriverState::Ended);
            assert!(stands && !state.decided(), "{behind:?}: {standing:?} in {:?}", state.phase());
            assert!(!locked(&scene.keys.ended).contains(&"id-1".to_owned()), "{behind:?}");
            assert!(locked(&scene.keys.off).is_empty(), "{behind:?}: {standing:?} in {:?}", state.phase());
        }
    }
}

#[test]
fn refusals_are_read_while_a_person_is_asked() {
    // Many quiet looks, and then somebody uses the old key.
    let told: Vec<u32> = std::iter::repeat_n(0, 40).chain([1]).collect();
    let scene = Scene::unconsented(with_a_switch(), &told);
    let (standing, state) = drive_before(&scene, There::Thinks, &[]);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)));
    assert_eq!(state.old_key(), OldKey::On);
    // Looks that show nothing are no entries: the operator may think for days.
    let read = |event: &&Event| matches!(event.fact, Fact::Refusals { .. });
    let written = scene.book.entries().iter().filter(read).count();
    assert!(written < 20, "{written} entries");
}

fn with_a_record() -> Capabilities {
    Capabilities { refusals: Refusals::IssuerLog, ..with_a_switch() }
}

#[test]
fn a_use_that_only_the_issuer_shows_is_heard() {
    let scene = Scene::with(with_a_record(), &[0], "id-2", "value-two");
    *locked(&scene.keys.record) = Some(vec![Err(()), Err(()), Ok(1)]);
    let (standing, state) = drive(&scene);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)));
    assert_eq!(state.old_key(), OldKey::On);
    assert!(locked(&scene.keys.off).is_empty() && locked(&scene.keys.ended).is_empty());
    // One that only a consumer's log shows is heard as well, although the issuer's record is not read.
    let scene = Scene::with(with_a_record(), &[0, 1], "id-2", "value-two");
    *locked(&scene.keys.record) = Some(vec![Err(())]);
    let (standing, _) = drive(&scene);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::RefusedUse)));
}

#[test]
fn a_record_that_is_not_read_is_never_none() {
    let scene = Scene::with(with_a_record(), &[0], "id-2", "value-two");
    *locked(&scene.keys.record) = Some(std::iter::repeat_n(Err(()), 30).chain([Ok(0)]).collect());
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase()), (DriverState::Ended, Phase::Done));
    let left = locked(&scene.keys.record).as_ref().map(Vec::len);
    assert_eq!(left, Some(1), "it went on before the record was read");
    let seen = |event: &&Event| matches!(event.fact, Fact::Refusals { .. });
    assert!(scene.book.entries().iter().any(|event| seen(&event)));
}

#[test]
fn what_cannot_be_marked_is_not_switched_off() {
    let scene = Scene::with(with_a_record(), &[0], "id-2", "value-two");
    let (standing, state) = drive(&scene);
    assert_eq!(standing, DriverState::Held(Hold::Paused(Reason::Failed(Phase::Disable))));
    assert_eq!(state.old_key(), OldKey::On);
    assert!(locked(&scene.keys.off).is_empty() && locked(&scene.keys.ended).is_empty());
    // The cause is there for whoever looks when nobody drives any more.
    let cause = locked(&scene.book.names).get(&digest_of_failure("0192", Phase::Disable)).cloned();
    assert!(cause.is_some_and(|cause| cause.starts_with("could not ")), "{:?}", locked(&scene.book.names));
}

#[test]
fn an_old_key_that_is_off_is_never_presented() {
    let undisturbed = Scene::with(with_a_record(), &[0], "id-2", "value-two");
    let nobody_there = Scene::unconsented(with_a_record(), &[0]);
    let used = Scene::with(with_a_record(), &[0, 0, 1], "id-2", "value-two");
    let broken_off = Scene::with(with_a_record(), &[0], "id-2", "value-two");
    *locked(&broken_off.book.breaks_at) = Some(Op::Disable);
    for scene in [&undisturbed, &nobody_there, &used, &broken_off] {
        *locked(&scene.keys.record) = Some(vec![Ok(0)]);
        let (standing, _) = drive(scene);
        if standing == DriverState::Lost {
            drive(scene);
        }
        let switched = scene.book.entries().iter().any(|event| event.fact == Fact::Intended(Op::Disable));
        assert!(switched, "it was off once");
        assert_eq!(scene.keys.presented_off.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
}

/// The task's thread is blocked until the driver has heard that its time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_blocks_its_thread_does_not_hold_up_the_time() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let task: Task = Box::pin(async move {
        tokio::task::block_in_place(|| held.recv_timeout(Duration::from_secs(RUN_S_MAX)).ok());
        Some(Input::Appended)
    });
    let clock = Scene::new("id-2", "value-two").ports().clock;
    let until_ms = clock.monotonic_ms() + 20;
    let late = Some(Input::Ended { intent: 7, outcome: Outcome::Unknown });
    let heard = TokioSpawner.spawn(task, Some(Limit { clock, until_ms, late })).await;
    assert!(matches!(heard, Some(Input::Ended { intent: 7, outcome: Outcome::Unknown })), "{heard:?}");
    drop(release);
}

/// How many entries the journal has space for.
const ENTRIES: u64 = 12;

/// Asks the driver to leave when the journal is full.
struct Leaves(mpsc::Sender<Command>);

impl Observer for Leaves {
    fn appended(&mut self, seq: Seq, _: &Event, _: &State) {
        if seq == ENTRIES {
            self.0.try_send(Command::Leave).unwrap();
        }
    }
    fn note(&mut self, _: Note) {}
    fn standing(&mut self, _: &DriverState, _: &State) -> ObserverReply {
        ObserverReply::Nobody
    }
}

/// The disk of the journal is full, and stays so.
#[test]
fn a_driver_that_is_asked_to_leave_leaves_although_nothing_can_be_written() {
    let scene = Scene::new("id-2", "value-two");
    *locked(&scene.book.full_behind) = Some(ENTRIES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let (tell, commands) = mpsc::channel(8);
        let mut leaves = Leaves(tell);
        let driving = run(scene.ports(), RotationId("0192".to_owned()), pace(), commands, &mut leaves);
        tokio::time::timeout(Duration::from_secs(RUN_S_MAX), driving).await
    });
    assert!(matches!(&ended, Ok(Ending::Left(state)) if state.seq() == ENTRIES), "{ended:?}");
    assert_eq!(scene.book.entries().len() as u64, ENTRIES);
    assert_eq!(*locked(&scene.keys.ended), [""; 0]);
    // There is space again: the next driver finds out what was done, and goes on.
    *locked(&scene.book.full_behind) = None;
    let (standing, state) = drive(&scene);
    assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
}

/// A panic is heard as an effect that is late: nothing waits for it for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_panics_is_heard_as_late() {
    let task: Task = Box::pin(async { panic!("planted") });
    let clock = Scene::new("id-2", "value-two").ports().clock;
    let late = Some(Input::Ended { intent: 7, outcome: Outcome::Unknown });
    let heard = TokioSpawner.spawn(task, Some(Limit { clock, until_ms: u64::MAX, late })).await;
    assert!(matches!(heard, Some(Input::Ended { intent: 7, outcome: Outcome::Unknown })), "{heard:?}");
}

/// Lets a host that blocks go on once the operator was told.
struct Releases(Option<std::sync::mpsc::Sender<()>>);

impl Observer for Releases {
    fn appended(&mut self, _: Seq, _: &Event, _: &State) {}
    fn note(&mut self, note: Note) {
        if format!("{note:?}").contains("it still goes on") {
            self.0 = None;
        }
    }
    fn standing(&mut self, _: &DriverState, _: &State) -> ObserverReply {
        ObserverReply::Nobody
    }
}

#[test]
fn a_host_that_blocks_is_waited_for_and_the_operator_is_told() {
    let mut plan = parts::plan(parts::capabilities());
    plan.policy.unit_ms_max = 100;
    add_reader(&mut plan);
    let scene = Scene::of(plan, &[], "id-2", "value-two");
    let (release, held) = std::sync::mpsc::channel();
    *locked(&scene.host.held) = Some(held);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut releases = Releases(Some(release));
    let ended = runtime.block_on(async {
        let (_tell, commands) = mpsc::channel(8);
        let pace = Pace { carry_ms_max: 20, ..pace() };
        let driving = run(scene.ports(), RotationId("0192".to_owned()), pace, commands, &mut releases);
        tokio::time::timeout(Duration::from_secs(RUN_S_MAX), driving).await
    });
    assert!(ended.is_ok() && releases.0.is_none(), "the operator was told, and it went on: {ended:?}");
    let entries = scene.book.entries();
    let deliver = |event: &&Event| matches!(event.fact, Fact::Intended(Op::Deliver(..)));
    assert!(entries.iter().any(|event| deliver(&event)));
    let unknown = |event: &Event| matches!(event.fact, Fact::Ended { outcome: Outcome::Unknown, .. });
    assert!(!entries.iter().any(unknown), "its outcome was heard, however late: {entries:?}");
}
