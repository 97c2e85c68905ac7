//! An answer shows what was true when it was asked for: how long it was waited for is no part of any window.

use keyroll_rotation::{Fact, LastUse, Phase, Query, Want, wants};

use crate::walk::{WINDOW_MS, Walk, plan_that_shows_use};

fn wanted(walk: &Walk, query: &Query) -> bool {
    wants(&walk.state).contains(&Want::Ask(query.clone()))
}

#[test]
fn the_wait_for_an_answer_is_no_part_of_the_idle_window() {
    let mut walk = Walk::of(plan_that_shows_use());
    walk.until(|state| state.phase() == Phase::Quiesce);
    while !wanted(&walk, &Query::LastUsed) {
        walk.say(walk.see(&Query::Enumerate));
    }
    let say = |walk: &mut Walk, took_ms| walk.say(Fact::LastUsed(LastUse { used: Some(1), took_ms }));
    say(&mut walk, 0);
    walk.wait(2 * WINDOW_MS);
    say(&mut walk, WINDOW_MS + 10);
    assert_eq!(walk.state.phase(), Phase::Quiesce, "asked for within the window");
    say(&mut walk, WINDOW_MS - 10);
    assert_eq!(walk.state.phase(), Phase::Disable);
}

#[test]
fn the_soak_ends_with_an_answer_that_was_asked_for_at_its_end() {
    let mut walk = Walk::to(Phase::Soak);
    walk.wait(2 * WINDOW_MS);
    let say = |walk: &mut Walk, took_ms| walk.say(Fact::Refusals { count: 0, took_ms });
    say(&mut walk, WINDOW_MS + 10);
    assert_eq!(walk.state.phase(), Phase::Soak, "asked for during the soak");
    say(&mut walk, WINDOW_MS - 10);
    assert_eq!(walk.state.phase(), Phase::Decide);
}
