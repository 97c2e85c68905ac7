//! Refuses to waive the last use of the old key while the issuer shows that something uses it.

use keyroll_codes::Code;
use keyroll_port::Journal as _;
use keyroll_rotation::{Hold, OldKeyUse, Reason, State, old_key_use};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::plan_names::Called;
use crate::records::reasons::reason_text;
use crate::records::recorded::{Opened, unread};
use crate::records::remembered_names::called;
use crate::records::ways::ways;
use crate::wiring::open::{journal, runtime};

/// Nothing but the last use shows a process that keyroll does not see: waived, the process would lose the key unannounced.
///
/// # Errors
/// The issuer showed uses when the rotation paused, or has to be asked again first. The problem says what it showed, and what
/// the rotation waits for instead.
pub(super) fn refuse_shown_use(opened: &Opened, places: &Places) -> Result<(), Problem> {
    if !hides_use(&opened.state) {
        return Ok(());
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let recorded = runtime.block_on(journal.load(&opened.id)).map_err(|error| unread(&error))?;
    let called = runtime.block_on(called(journal.as_ref(), &recorded, Some(&opened.state)));
    Err(shown(&called, &opened.state))
}

/// Whether the waiver would hide a use: only of an issuer that does not answer it is a way past the pause. Where nothing was shown
/// and the rotation does not wait for the last use, it refuses the waiver itself.
fn hides_use(state: &State) -> bool {
    match old_key_use(state) {
        // By chance, the time of the phase may end in another pause.
        Some(OldKeyUse::Shown(_)) => state.hold().is_some(),
        Some(OldKeyUse::Unanswered) => false,
        None => state.hold() == Some(Hold::Paused(Reason::LastUseNotShown)),
    }
}

fn shown(called: &Called, state: &State) -> Problem {
    let problem = Problem::new(Code::NotPossibleNow, "waive the last use of the key").because(reason_text(
        called,
        state,
        Reason::LastUseNotShown,
    ));
    match ways(called, state, false, false) {
        Some(ways) => problem.help(ways.next),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Fact, LastUse, Phase, Query, Waived, Want, wants};

    use super::*;
    use crate::records::old_key::clock;
    use crate::records::walk::reach::{Row, reach};
    use crate::records::walk::{WINDOW_MS, Walk, plan_that_shows_use};

    fn asks_for_the_use() -> Walk {
        let mut walk = Walk::of(plan_that_shows_use());
        walk.until(|state| wants(state).contains(&Want::Ask(Query::LastUsed)));
        walk
    }

    /// A rotation that paused because its window is shorter than the time between two answers of the issuer, each of which
    /// shows another use; with the last of them.
    fn in_use() -> (Walk, u64) {
        let (mut walk, mut last) = (asks_for_the_use(), 60_000);
        while walk.state.hold().is_none() {
            last += WINDOW_MS;
            walk.say(Fact::LastUsed(LastUse { used: Some(last), took_ms: 0 }));
            walk.wait(2 * WINDOW_MS);
        }
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
        (walk, last)
    }

    /// Red where the waiver is taken: the protocol takes it, and the process that uses the key loses it.
    #[test]
    fn the_last_use_is_not_waived_while_the_issuer_shows_uses() {
        let (walk, last) = in_use();
        walk.clone().say(Fact::Waived(Waived::LastUse));
        assert!(hides_use(&walk.state));
        let problem = shown(&Called::of_rotation("0192", "acme"), &walk.state);
        let cause = problem.causes.join("\n");
        assert!(cause.contains(&format!("still shows uses of it, the last at {}", clock(last))), "{cause}");
        let help = problem.help.unwrap();
        assert!(help.starts_with("find what still uses the old key") && !help.contains("waive"), "{help}");
    }

    /// Red where another waiver makes a use that was shown count as none: the look before the pause is not fresh any more.
    #[test]
    fn another_driver_asks_the_issuer_again_before_the_last_use_is_waived() {
        let (mut walk, _) = in_use();
        walk.another_driver();
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
        assert!(hides_use(&walk.state));
        let help = shown(&Called::of_rotation("0192", "acme"), &walk.state).help.unwrap();
        assert!(help.contains("keyroll resume 0192") && !help.contains("waive"), "{help}");
    }

    /// Red where the protocol alone refuses it: its words name neither the use nor a way past it.
    #[test]
    fn a_waiver_is_refused_with_the_uses_also_where_the_phase_did_not_end_in_time() {
        let (mut walk, mut last) = (asks_for_the_use(), 60_000);
        while walk.state.hold().is_none() {
            last += WINDOW_MS;
            walk.at.ms += WINDOW_MS;
            walk.say(Fact::LastUsed(LastUse { used: Some(last), took_ms: 0 }));
            assert!(walk.state.hold().is_some() || !hides_use(&walk.state), "a driver goes on with it");
        }
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Quiesce))));
        assert!(hides_use(&walk.state));
        let problem = shown(&Called::of_rotation("0192", "acme"), &walk.state);
        assert!(problem.causes.join("\n").contains(&clock(last)), "{problem:?}");
        let help = problem.help.unwrap();
        assert!(help.starts_with("find what still uses the old key") && !help.contains("waive"), "{help}");
    }

    #[test]
    fn an_issuer_that_does_not_answer_is_waived() {
        assert!(!hides_use(&reach(Row::LastUseNotShown).state));
        assert!(!hides_use(&Walk::to(Phase::Quiesce).state), "the rotation refuses it");
    }
}
