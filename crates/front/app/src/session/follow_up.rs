//! The command that comes once the cause of a failure is mended: by what the journal has of the rotation, and never by a text.

use keyroll_port::RotationId;
use keyroll_rotation::{Emergency, Phase, State};

use super::options::{ApplyOptions, alerted_again};
use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::open_rotation_guard::ends_with;
use crate::records::recorded::{Opened, opened};
use crate::wiring::open::{journal, runtime};

/// A command that drives a rotation, as it was given.
pub(super) struct Attempt<'a> {
    pub(super) id: &'a RotationId,
    /// The command: `resume`.
    pub(super) verb: &'static str,
    pub(super) asked: &'a ApplyOptions,
}

impl Attempt<'_> {
    /// The problem of the command with the one that comes then.
    pub(super) fn followed(&self, problem: Problem, installation: &Installation) -> Problem {
        if !problem.is_unfinished() {
            return problem;
        }
        let open = installation.places().ok().and_then(|places| recorded(self.id, &places));
        let secret = open.as_ref().map_or("", |open| open.saved.secret.as_str());
        problem.then(&self.next(secret, open.as_ref().map(|open| &open.state)))
    }

    /// This command again, until the rotation has recorded what was asked for; after that, what goes on with the rotation and
    /// what rolls it back. `state`: if the journal has it.
    fn next(&self, secret: &str, state: Option<&State>) -> String {
        let id = self.id;
        let Some(state) = state else { return self.again() };
        let waits_for_abort = self.asked.back && state.phase() != Phase::RollingBack;
        let waits_for_emergency = self.asked.emergency.is_some() && state.emergency().is_none();
        if state.ended() && state.debt().is_none() {
            format!("keyroll status {id}")
        } else if waits_for_abort || waits_for_emergency {
            self.again()
        } else {
            ends_with(&id.0, secret, Some(state))
        }
    }

    /// This command, or the one that asked for it.
    pub(super) fn again(&self) -> String {
        if let Some(again) = &self.asked.again {
            return again.clone();
        }
        let emergency = match self.asked.emergency {
            None => "",
            Some(Emergency::RollFirst) => " --emergency roll-first",
            Some(Emergency::RevokeNow) => " --emergency revoke-now",
        };
        let alerted = alerted_again(self.verb, self.asked.alerted_unix_ms);
        format!("keyroll {} {}{emergency}{alerted}", self.verb, self.id)
    }
}

/// The rotation, if the journal has it and can be read.
fn recorded(id: &RotationId, places: &Places) -> Option<Opened> {
    if !places.journal().exists() {
        return None;
    }
    let journal = journal(places).ok()?;
    runtime(places).ok()?.block_on(opened(&journal, Some(&id.0))).ok()
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Fact, Hold};

    use super::*;
    use crate::records::walk::Walk;

    fn then(verb: &'static str, asked: &ApplyOptions, walk: Option<&Walk>) -> String {
        let id = RotationId("0192".to_owned());
        Attempt { id: &id, verb, asked }.next("acme", walk.map(|walk| &walk.state))
    }

    fn back() -> ApplyOptions {
        ApplyOptions { back: true, ..ApplyOptions::default() }
    }

    /// A rollback in which a consumer cannot be given the old key.
    fn stuck() -> Walk {
        let mut walk = Walk::to(Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        walk
    }

    #[test]
    fn a_plan_that_was_not_begun_is_applied_again_and_one_that_was_is_resumed() {
        let plain = ApplyOptions::default();
        assert_eq!(then("apply", &plain, None), "keyroll apply 0192");
        let begun = Walk::to(Phase::Quiesce);
        assert_eq!(then("apply", &plain, Some(&begun)), "keyroll resume 0192, or keyroll abort 0192");
        assert_eq!(then("apply", &plain, Some(&Walk::to(Phase::Revoke))), "keyroll resume 0192");
    }

    /// Red where a command that a stop kept from the lock is followed by another one: a rotation that is stuck takes no
    /// `resume`, and a plan that was not begun has no rotation.
    #[test]
    fn a_command_that_was_stopped_before_it_began_is_given_again_as_it_was() {
        let id = RotationId("0192".to_owned());
        let again = |verb, asked: &ApplyOptions| Attempt { id: &id, verb, asked }.again();
        let urgent = ApplyOptions { emergency: Some(Emergency::RollFirst), ..ApplyOptions::default() };
        assert_eq!(again("retry", &ApplyOptions::default()), "keyroll retry 0192");
        assert_eq!(again("abort", &back()), "keyroll abort 0192");
        assert_eq!(again("apply", &urgent), "keyroll apply 0192 --emergency roll-first");
        let told = ApplyOptions { alerted_unix_ms: Some(1_767_225_600_000), ..urgent };
        let flags = "--emergency roll-first --alerted-at=2026-01-01T00:00:00Z";
        assert_eq!(again("apply", &told), ["keyroll apply 0192", flags].join(" "));
        assert_eq!(
            again("resume", &told),
            "keyroll resume 0192 --emergency roll-first",
            "it has no such flag"
        );
        let command = "keyroll emergency acme --value-file new.key";
        let by_name = ApplyOptions { again: Some(command.to_owned()), ..told };
        assert_eq!(then("apply", &by_name, None), command);
    }

    #[test]
    fn what_is_stuck_is_retried_whatever_was_asked() {
        let (plain, stuck) = (ApplyOptions::default(), stuck());
        for (verb, asked) in [("resume", &plain), ("retry", &plain), ("abort", &back())] {
            assert_eq!(then(verb, asked, Some(&stuck)), "keyroll retry 0192", "{verb}");
        }
    }

    #[test]
    fn an_abort_and_an_emergency_are_asked_for_again_until_they_are_recorded() {
        let mut walk = Walk::to(Phase::Quiesce);
        assert_eq!(then("abort", &back(), Some(&walk)), "keyroll abort 0192");
        let urgent = ApplyOptions { emergency: Some(Emergency::RevokeNow), ..ApplyOptions::default() };
        assert_eq!(then("resume", &urgent, Some(&walk)), "keyroll resume 0192 --emergency revoke-now");
        walk.say(Fact::AbortAsked);
        assert_eq!(then("abort", &back(), Some(&walk)), "keyroll resume 0192");
    }

    #[test]
    fn of_a_rotation_that_has_ended_its_status_says_the_rest() {
        let (mut walk, plain) = (Walk::to(Phase::Quiesce), ApplyOptions::default());
        walk.say(Fact::AbortAsked);
        walk.until(State::ended);
        assert_eq!(then("resume", &plain, Some(&walk)), "keyroll status 0192");
    }
}
