//! Where the issuer does not show when the old key was last used, nothing says that nobody uses it.

use keyroll_rotation::{
    Awaited, Event, Fact, Hold, LastUse, Next, OldKey, OldKeyUse, Outside, Phase, Query, Reason, Step, Until,
    Waiting, Waived, Want, old_key_use, step, still_used, waiting, wants, way,
};

use crate::walk::world::{STRAY, Trouble};
use crate::walk::{WINDOW_MS, Walk, plan_that_shows_use as plan};

/// A rotation in Quiesce that has seen everything else.
fn waits_for_the_use() -> Walk {
    looks(Walk::of(plan()))
}

/// The same, once it has seen everything else.
fn looks(mut walk: Walk) -> Walk {
    walk.until(|state| state.phase() == Phase::Quiesce);
    while !wants(&walk.state).contains(&Want::Ask(Query::LastUsed)) {
        walk.say(walk.see(&Query::Enumerate));
    }
    walk
}

fn waive(walk: &Walk) -> Event {
    Event { at: walk.at, fact: Fact::Waived(Waived::LastUse) }
}

/// The rotation after as long as the phase may last, in which the issuer did not show the use.
fn never_shown() -> Walk {
    let mut walk = waits_for_the_use();
    assert!(matches!(waiting(&walk.state), Some(Waiting { what: Awaited::Answer(Query::LastUsed), .. })));
    assert!(step(&walk.state, &waive(&walk)).is_err(), "what is still asked for cannot be waived");
    walk.wait(walk.state.plan().policy.phase_ms_max + WINDOW_MS);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
    walk
}

/// The operator waives the use, and the issuer, asked again, does not answer.
fn waives_in_vain(walk: &mut Walk) {
    walk.say(Fact::Waived(Waived::LastUse));
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Quiesce));
    assert!(wants(&walk.state).contains(&Want::Ask(Query::LastUsed)), "it is asked again");
    let Some(Waiting { what, until: Until::Ms(until) }) = waiting(&walk.state) else { panic!("it waits") };
    assert_eq!(what, Awaited::Answer(Query::LastUsed));
    // Each entry is a millisecond later than the one before it.
    walk.wait(until - walk.at.ms - 2);
    assert_eq!(walk.state.phase(), Phase::Quiesce, "before the time is over");
    walk.wait(1);
}

/// The list cannot be read for a moment, and shows a use again. Red: the waiver hides it, and a user loses the key.
#[test]
fn a_waiver_of_the_last_use_ends_when_the_issuer_answers() {
    let mut walk = never_shown();
    walk.say(Fact::Waived(Waived::LastUse));
    let mut used = 1;
    for _ in 0..20 {
        used += WINDOW_MS;
        walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
        walk.wait(2 * WINDOW_MS);
    }
    assert_eq!((walk.state.phase(), walk.state.old_key()), (Phase::Quiesce, OldKey::On));

    // What nobody uses any more goes on by what is shown.
    walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
    walk.at.ms += WINDOW_MS;
    walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
    assert_eq!(walk.state.phase(), Phase::Disable);
}

/// The driver that goes on after a waiver looks again, for longer than the issuer is asked. Red where the time begins with the driver:
/// the key is disabled without a question.
#[test]
fn the_issuer_is_asked_after_a_waiver_however_long_the_look_takes() {
    let mut walk = never_shown();
    let phase_ms = walk.state.plan().policy.phase_ms_max + WINDOW_MS;
    walk.say(Fact::Waived(Waived::LastUse));
    walk.another_driver();
    let Some(Waiting { what, until: Until::Ms(until) }) = waiting(&walk.state) else { panic!("it waits") };
    assert_eq!(
        (what, until),
        (Awaited::Phase(Phase::Quiesce), walk.at.ms + phase_ms),
        "nothing was asked yet"
    );
    walk.wait(phase_ms - 10);
    walk.say(walk.see(&Query::Enumerate));
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Quiesce));
    assert!(wants(&walk.state).contains(&Want::Ask(Query::LastUsed)), "it is asked");
    // The end of the phase does not end it.
    let Some(Waiting { until: Until::Ms(until), .. }) = waiting(&walk.state) else { panic!("it waits") };
    assert!(until > walk.at.ms + 10);
    let mut silent = walk.clone();
    silent.wait(until - silent.at.ms - 2);
    assert_eq!((silent.state.hold(), silent.state.phase()), (None, Phase::Quiesce));
    silent.wait(1);
    assert_eq!(silent.state.phase(), Phase::Disable);

    walk.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    walk.wait(WINDOW_MS / 2);
    assert_eq!((walk.state.phase(), walk.state.old_key()), (Phase::Quiesce, OldKey::On));
}

/// The waiver stays for the consent. Red where the soak is said to end when the issuer was asked long enough.
#[test]
fn the_time_in_which_the_issuer_is_asked_again_is_said_of_no_other_phase() {
    let mut walk = never_shown();
    waives_in_vain(&mut walk);
    walk.until(|state| state.phase() == Phase::Soak);
    let Some(Waiting { what, until: Until::Ms(until) }) = waiting(&walk.state) else { panic!("it waits") };
    let policy = &walk.state.plan().policy;
    assert_eq!((what, walk.state.waived().contains(&Waived::LastUse)), (Awaited::Phase(Phase::Soak), true));
    assert!(until > walk.at.ms + policy.phase_ms_max / 2, "the soak and the time of a phase");
}

/// A rotation of protocol 15 goes on as it did.
#[test]
fn an_earlier_rotation_does_not_ask_again_after_the_waiver() {
    let mut before = plan();
    before.protocol = 15;
    let mut walk = looks(Walk::of(before));
    walk.wait(walk.state.plan().policy.phase_ms_max + WINDOW_MS);
    walk.say(Fact::Waived(Waived::LastUse));
    assert_eq!(walk.state.phase(), Phase::Disable);
}

#[test]
fn a_last_use_that_is_never_shown_pauses_until_the_operator_waives_it() {
    let mut walk = never_shown();
    waives_in_vain(&mut walk);
    assert_eq!((walk.state.hold(), walk.state.phase()), (None, Phase::Disable));
    walk.until(|state| state.phase() == Phase::Done);
}

#[test]
fn a_rotation_without_a_last_use_can_be_rolled_back_or_go_on_once_it_is_shown() {
    let mut back = never_shown();
    back.say(Fact::AbortAsked);
    back.until(|state| state.phase() == Phase::RolledBack);

    let mut forward = never_shown();
    forward.say(Fact::Resumed);
    assert_eq!((forward.state.old_key(), forward.state.phase()), (OldKey::On, Phase::Quiesce));
    forward.say(forward.see(&Query::Enumerate));
    forward.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    forward.wait(WINDOW_MS);
    assert_eq!(forward.state.phase(), Phase::Quiesce, "one answer is no window");
    forward.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    assert_eq!(forward.state.phase(), Phase::Disable);
}

/// The issuer shows a time once, and then none any more.
#[test]
fn a_last_use_that_is_not_shown_any_more_pauses_too() {
    let mut walk = waits_for_the_use();
    walk.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    walk.wait(walk.state.plan().policy.phase_ms_max + WINDOW_MS);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
    waives_in_vain(&mut walk);
    assert_eq!(walk.state.phase(), Phase::Disable);
}

#[test]
fn a_key_that_is_used_again_and_again_is_not_one_whose_use_is_not_shown() {
    let mut walk = waits_for_the_use();
    let until = walk.at.ms + walk.state.plan().policy.phase_ms_max + WINDOW_MS;
    for used in 1.. {
        if walk.at.ms > until {
            break;
        }
        walk.at.ms += WINDOW_MS;
        walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
    }
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Quiesce))));
    let used = still_used(&walk.state).expect("what the issuer shows is said");
    assert!(used > 1, "it is not the last use");
    assert!(step(&walk.state, &waive(&walk)).is_err(), "the issuer shows that the key is used");
}

/// The driver asks less often than the window is long.
const APART_MS: u64 = 2 * WINDOW_MS;

/// The issuer shows another use at each answer, until the time of the phase is over between two of them; and the last use.
fn used_until_it_pauses(mut walk: Walk) -> (Walk, u64) {
    let Some(Waiting { until: Until::Ms(end), .. }) = waiting(&walk.state) else {
        panic!("it does not wait")
    };
    let mut used = 0;
    while walk.at.ms + 2 * APART_MS < end {
        walk.at.ms += APART_MS;
        used += 1;
        walk.say(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }));
    }
    walk.at.ms = end;
    walk.say(Fact::Clock);
    assert!(matches!(walk.state.hold(), Some(Hold::Paused(_))) && used > 1);
    (walk, used)
}

fn forward(walk: &Walk) -> Vec<Step> {
    way(&walk.state).unwrap().forward
}

fn after(first: Outside) -> Step {
    Step { first: Some(first), then: vec![Next::Resume] }
}

fn waives() -> Step {
    Step { first: None, then: vec![Next::Waive(Waived::LastUse), Next::Resume] }
}

/// The window is shorter than the time between two answers: the last one was not young enough to close it, and was taken for none.
#[test]
fn uses_that_go_on_are_said_and_not_waived_however_short_the_window_is() {
    let (walk, used) = used_until_it_pauses(waits_for_the_use());
    assert_eq!(old_key_use(&walk.state), Some(OldKeyUse::Shown(used)));
    assert_eq!(forward(&walk), [after(Outside::EndUsers)]);
    // What is held does not grow older.
    let mut later = walk.clone();
    later.wait(10 * APART_MS);
    later.say(Fact::PauseAsked);
    assert_eq!((old_key_use(&later.state), forward(&later)), (Some(OldKeyUse::Shown(used)), forward(&walk)));
}

#[test]
fn a_process_that_was_waived_and_has_the_key_is_the_first_to_be_ended_where_uses_go_on() {
    let mut walk = Walk::of(plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.world.strike(Trouble::Holder(STRAY, keyroll_rotation::Which::Old));
    walk.say(walk.see(&Query::Enumerate));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Holder(STRAY))));
    walk.say(Fact::Waived(Waived::Holder(STRAY)));
    let (walk, used) = used_until_it_pauses(looks(walk));
    assert_eq!(old_key_use(&walk.state), Some(OldKeyUse::Shown(used)));
    assert_eq!(forward(&walk), [after(Outside::EndProcess(STRAY)), after(Outside::EndUsers)]);
}

/// An outage passes, and a waiver stays.
#[test]
fn an_issuer_that_does_not_answer_is_waited_for_before_it_is_waived() {
    let silent = never_shown();
    assert_eq!(old_key_use(&silent.state), Some(OldKeyUse::Unanswered));
    assert_eq!(forward(&silent), [after(Outside::MendIssuer), waives()]);

    // It answered once.
    let mut stopped = waits_for_the_use();
    stopped.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    assert_eq!(still_used(&stopped.state), Some(1));
    stopped.wait(stopped.state.plan().policy.phase_ms_max + WINDOW_MS);
    assert_eq!(old_key_use(&stopped.state), Some(OldKeyUse::Unanswered));
    assert_eq!(forward(&stopped), [after(Outside::MendIssuer), waives()]);

    // Another driver took over: what was heard before it is asked again.
    let mut other = silent;
    other.another_driver();
    assert_eq!(forward(&other), [Step { first: None, then: vec![Next::Resume] }]);
}

/// The window is so long that the last answer still counts for it, long after the issuer has stopped to answer.
#[test]
fn an_outage_within_a_long_window_is_no_use() {
    let mut plan = plan();
    plan.policy.idle_ms = plan.policy.phase_ms_max;
    let mut walk = looks(Walk::of(plan));
    let Some(Waiting { until: Until::Ms(end), .. }) = waiting(&walk.state) else {
        panic!("it does not wait")
    };
    walk.at.ms = end - 30_000;
    walk.say(Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }));
    walk.at.ms = end;
    walk.say(Fact::Clock);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Quiesce))));
    assert_eq!(old_key_use(&walk.state), Some(OldKeyUse::Unanswered));
    assert_eq!(forward(&walk), [after(Outside::MendIssuer)]);
}
