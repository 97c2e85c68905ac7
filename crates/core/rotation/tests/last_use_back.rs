//! A rollback deletes the new key, which an unseen machine may have taken from a copy or the store: where the issuer shows the last
//! use, the new key ends only once it is unused.

use keyroll_rotation::{
    Awaited, Fact, FileId, Hold, Holds, LastUse, Next, OldKeyUse, Op, Outcome, Outside, PROTOCOL, Phase,
    Plan, Query, Reason, Step, Until, Waiting, Waived, Want, old_key_use, step, waiting,
    waits_for_new_to_be_unused, wants, way,
};

use crate::walk::world::Trouble;
use crate::walk::{WINDOW_MS, Walk, plan_that_shows_use as plan};

const ASKS: Want = Want::Ask(Query::LastUsed);

/// A rollback after this phase in which everything that keyroll sees is back on the old key.
fn back_from(plan: Plan, phase: Phase) -> Walk {
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == phase);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&ASKS) || wants(state).contains(&Want::Do(Op::DeleteNew)));
    walk
}

fn back() -> Walk {
    let walk = back_from(plan(), Phase::Quiesce);
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::RollingBack, vec![ASKS]));
    walk
}

fn used(walk: &mut Walk, used: u64) {
    walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
}

fn deletes(walk: &Walk) -> bool {
    walk.state.intents().iter().any(|open| open.op == Op::DeleteNew)
        || wants(&walk.state).contains(&Want::Do(Op::DeleteNew))
        || matches!(walk.state.phase(), Phase::RolledBack)
}

fn time_is_over(walk: &mut Walk) {
    let Some(Waiting { until: Until::Ms(until), .. }) = waiting(&walk.state) else { panic!("it waits") };
    walk.wait(until - walk.at.ms);
}

/// An unseen machine calls with the new key all the time. Red: it loses its key, and nobody was told.
#[test]
fn a_rollback_does_not_delete_a_new_key_that_the_issuer_shows_in_use() {
    let mut walk = back();
    let mut last = 1;
    while walk.state.hold().is_none() {
        last += WINDOW_MS;
        used(&mut walk, last);
        assert!(!deletes(&walk), "it is in use");
        walk.wait(WINDOW_MS / 2);
    }
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    assert_eq!(old_key_use(&walk.state), Some(OldKeyUse::Shown(last)));
    let named = way(&walk.state).expect("a way").forward;
    assert_eq!(named, [Step { first: Some(Outside::EndUsers), then: vec![Next::Retry] }]);
    let waive = keyroll_rotation::Event { at: walk.at, fact: Fact::Waived(Waived::LastUse) };
    assert!(step(&walk.state, &waive).is_err(), "what is shown in use is not waived");

    // The operator ends what used it.
    walk.say(Fact::Retried);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn a_new_key_that_was_unused_for_the_whole_window_is_deleted() {
    let mut walk = back();
    assert_eq!(waiting(&walk.state).map(|it| it.what), Some(Awaited::Answer(Query::LastUsed)));
    used(&mut walk, 5);
    walk.wait(WINDOW_MS / 2);
    used(&mut walk, 6);
    walk.wait(WINDOW_MS - 10);
    used(&mut walk, 6);
    assert!(!deletes(&walk), "the window begins anew with each use");
    walk.wait(WINDOW_MS);
    used(&mut walk, 6);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// The old key is seen alive once more before the deletion. Red where that begins the window anew: it never closes.
#[test]
fn the_last_probe_of_the_old_key_does_not_begin_the_window_anew() {
    let mut walk = back();
    used(&mut walk, 5);
    walk.wait(WINDOW_MS);
    used(&mut walk, 5);
    for _ in 0..20 {
        assert!(!wants(&walk.state).contains(&ASKS), "it is not asked again");
        if deletes(&walk) {
            return;
        }
        walk.go_on();
    }
    panic!("{:?}", wants(&walk.state));
}

/// The new key was made and sealed, and nothing was given it.
#[test]
fn a_new_key_that_nobody_can_have_is_deleted_at_once() {
    let mut walk = Walk::of(plan());
    walk.until(|state| state.phase() == Phase::Probe);
    walk.say(Fact::AbortAsked);
    while walk.state.phase() != Phase::RolledBack {
        assert!(!wants(&walk.state).contains(&ASKS), "nobody can have it");
        walk.go_on();
    }
}

/// Red where the issuer's answers are awaited for ever, or the key is deleted without the operator.
#[test]
fn an_issuer_that_does_not_answer_pauses_the_rollback_until_it_is_waived() {
    let mut walk = back();
    time_is_over(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
    assert_eq!(old_key_use(&walk.state), Some(OldKeyUse::Unanswered));
    let waived = Step { first: None, then: vec![Next::Waive(Waived::LastUse), Next::Resume] };
    assert!(way(&walk.state).expect("a way").forward.contains(&waived));

    walk.say(Fact::Waived(Waived::LastUse));
    // The old key was not seen for a while.
    walk.until(|state| wants(state).contains(&ASKS));
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::RollingBack), "it is asked again");
    let mut heard = walk.clone();
    used(&mut heard, 7);
    assert!(heard.state.waived().is_empty() && !deletes(&heard), "an answer ends the waiver");

    time_is_over(&mut walk);
    while walk.state.phase() != Phase::RolledBack {
        // Further looks follow, and none of them begins the time anew.
        assert!(!wants(&walk.state).contains(&ASKS));
        walk.go_on();
    }
}

/// Another driver goes on after the waiver, and its look takes longer than the issuer is asked. Red: it is not asked at all.
#[test]
fn the_issuer_is_asked_again_in_a_rollback_however_long_the_look_takes() {
    let mut walk = back();
    time_is_over(&mut walk);
    walk.say(Fact::Waived(Waived::LastUse));
    walk.another_driver();
    walk.wait(60_000);
    walk.until(|state| wants(state).contains(&ASKS));
    used(&mut walk, 7);
    assert!(walk.state.waived().is_empty() && !deletes(&walk));
}

/// What was heard and waived while the old key was to be ended says nothing of the new one.
#[test]
fn a_waiver_and_an_answer_about_the_old_key_do_not_count_for_the_new_one() {
    let mut walk = Walk::of(plan());
    walk.until(|state| wants(state).contains(&ASKS));
    time_is_over(&mut walk);
    walk.say(Fact::Waived(Waived::LastUse));
    let asked_at = walk.at.ms;
    walk.say(Fact::AbortAsked);
    assert!(walk.state.waived().is_empty(), "{:?}", walk.state.waived());
    // The answer to the question about the old key comes late.
    walk.wait(3);
    let took_ms = walk.at.ms + 1 - asked_at;
    walk.say(Fact::LastUsed(LastUse { used: Some(9), took_ms }));
    walk.until(|state| wants(state).contains(&ASKS));
    assert_eq!(old_key_use(&walk.state), None, "nothing was heard of the new key");
}

/// A rotation of protocol 16 goes back as it did.
#[test]
fn an_earlier_rotation_does_not_ask_for_the_use_of_the_new_key() {
    let mut before = plan();
    before.protocol = 16;
    let walk = back_from(before, Phase::Quiesce);
    assert!(wants(&walk.state).contains(&Want::Do(Op::DeleteNew)));
}

/// Another party writes the new value back while the window passes; the last look shows it. Red: the key is deleted right after the
/// second restoration, and the issuer was not asked since.
#[test]
fn what_is_restored_once_more_begins_the_window_anew() {
    let mut walk = back();
    used(&mut walk, 5);
    walk.wait(WINDOW_MS);
    used(&mut walk, 5);
    assert!(!wants(&walk.state).contains(&ASKS), "the window is over");
    walk.world.strike(Trouble::File(FileId(0), Holds::New));
    walk.say(walk.see(&Query::Enumerate));
    assert!(!deletes(&walk));
    walk.until(|state| wants(state).contains(&ASKS) || wants(state).contains(&Want::Do(Op::DeleteNew)));
    assert_eq!(wants(&walk.state), [ASKS]);
}

/// The deletion is begun and certainly not carried out, and another party writes the new value back. Red: the key is deleted right
/// after the second restoration, because its last use was waited for before the first.
#[test]
fn what_is_restored_after_a_deletion_that_did_not_happen_begins_the_window_anew() {
    for protocol in [17, PROTOCOL] {
        let mut before = plan();
        before.protocol = protocol;
        let mut walk = back_from(before, Phase::Quiesce);
        used(&mut walk, 5);
        walk.wait(WINDOW_MS);
        used(&mut walk, 5);
        walk.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)));
        walk.say(Fact::Intended(Op::DeleteNew));
        let intent = walk.state.seq();
        walk.say(Fact::Ended { intent, outcome: Outcome::Failed { retry: true } });
        let mut again = walk.clone();
        again.another_driver();
        again.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)) || wants(state).contains(&ASKS));
        assert!(
            !wants(&again.state).contains(&ASKS),
            "nothing was restored: the first deletion may have ended it"
        );

        walk.world.strike(Trouble::File(FileId(0), Holds::New));
        walk.say(walk.see(&Query::Enumerate));
        walk.until(|state| state.units().iter().any(|unit| unit.stage.is_moving()));
        walk.until(|state| wants(state).contains(&ASKS) || wants(state).contains(&Want::Do(Op::DeleteNew)));
        assert_eq!(wants(&walk.state).contains(&ASKS), protocol == PROTOCOL);
    }
}

/// The issuer was silent, which was waived, and another party writes the new value back after that. Red: the key is deleted right
/// after the second restoration, although the issuer may answer by now.
#[test]
fn what_is_restored_after_a_waiver_is_asked_about_once_more() {
    for protocol in [17, PROTOCOL] {
        let mut before = plan();
        before.protocol = protocol;
        let mut walk = back_from(before, Phase::Quiesce);
        time_is_over(&mut walk);
        walk.say(Fact::Waived(Waived::LastUse));
        walk.until(|state| wants(state).contains(&ASKS));
        // It is silent still.
        walk.wait(20_000);
        assert!(!wants(&walk.state).contains(&ASKS), "it was asked in vain");

        walk.world.strike(Trouble::File(FileId(0), Holds::New));
        walk.say(walk.see(&Query::Enumerate));
        walk.until(|state| state.units().iter().any(|unit| unit.stage.is_moving()));
        walk.until(|state| wants(state).contains(&ASKS) || wants(state).contains(&Want::Do(Op::DeleteNew)));
        assert_eq!(wants(&walk.state).contains(&ASKS), protocol == PROTOCOL);
        // It answers, or goes on to be silent: the rollback ends.
        walk.until(|state| state.phase() == Phase::RolledBack);
    }
}

/// Everybody is back on the old key, and it ends. Red where that is seen only when the window is over.
#[test]
fn the_old_key_is_seen_again_while_the_window_passes() {
    let mut long = plan();
    long.policy.idle_ms = 600_000;
    let mut walk = back_from(long, Phase::Quiesce);
    used(&mut walk, 5);
    walk.wait(60_000);
    let probes = |want: &Want| matches!(want, Want::Ask(Query::Probe(_, keyroll_rotation::Which::Old)));
    assert!(wants(&walk.state).iter().any(probes), "{:?}", wants(&walk.state));
    walk.until(|state| wants(state).contains(&ASKS));
}

/// Somebody deleted it at the console: nobody can use it. Red: the rollback waits its whole time, and pauses.
#[test]
fn a_new_key_that_is_gone_is_waited_for_no_longer() {
    let mut walk = back();
    walk.say(Fact::LastUsed(LastUse { used: None, took_ms: 0 }));
    assert!(!wants(&walk.state).contains(&ASKS));
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// What the driver of before heard is not known to the next one. Red where the operator is sent to the console for the old key.
#[test]
fn another_driver_of_a_rollback_that_is_stuck_says_that_it_asks_again() {
    let mut walk = back();
    while walk.state.hold().is_none() {
        let last = walk.at.ms;
        used(&mut walk, last);
        walk.wait(WINDOW_MS / 2);
        let probes = wants(&walk.state).into_iter().filter(|want| *want != ASKS).collect::<Vec<_>>();
        for want in probes {
            let Want::Ask(query) = want else { panic!("{want:?}") };
            walk.say(walk.see(&query));
        }
    }
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    walk.another_driver();
    assert!(waits_for_new_to_be_unused(&walk.state));
    assert_eq!(way(&walk.state).expect("a way").forward[0], Step { first: None, then: vec![Next::Retry] });
}
