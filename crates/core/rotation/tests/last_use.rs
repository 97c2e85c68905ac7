//! Where the issuer does not show when the old key was last used, nothing says that nobody uses it.

use keyroll_rotation::{
    Awaited, Event, Fact, Hold, LastUse, LastUsed, OldKey, Phase, Plan, Query, Reason, Waiting, Waived, Want,
    step, still_used, waiting, wants,
};

use crate::walk::{self, Walk};

const WINDOW_MS: u64 = 1_000;

fn plan() -> Plan {
    let mut plan = walk::plan();
    plan.capabilities.last_used = LastUsed::PerKey { lag_ms: 0, granularity_ms: 0 };
    plan.policy.idle_ms = WINDOW_MS;
    plan
}

/// A rotation in Quiesce that has seen everything else.
fn waits_for_the_use() -> Walk {
    let mut walk = Walk::of(plan());
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

#[test]
fn a_last_use_that_is_never_shown_pauses_until_the_operator_waives_it() {
    let mut walk = never_shown();
    walk.say(Fact::Waived(Waived::LastUse));
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
    walk.say(Fact::Waived(Waived::LastUse));
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
