//! The events of the operator's statement that the old key was revoked at the issuer's console.

use keyroll_rotation::{Event, Fact, State, step};

use super::rotate::resumed;

/// What a resume with the statement begins with. A hold that names the statement is let go by it alone: resumed first, the rotation
/// would not know any more for what it was held, and would refuse the statement.
pub fn said_revoked(state: &State) -> Vec<Fact> {
    let all: Vec<Fact> = resumed(state).into_iter().chain([Fact::HandRevoked]).collect();
    let told = |state: State, fact: &Fact| {
        let event = Event { at: state.now(), fact: fact.clone() };
        step(&state, &event).ok().map(|(next, _)| next)
    };
    let are_taken = all.iter().try_fold(state.clone(), told).is_some();
    if are_taken { all } else { vec![Fact::HandRevoked] }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Hold, OldKey, Op, Outcome, Person, Phase, Reason, Want, wants};

    use super::*;
    use crate::records::walk::{Walk, plan};

    /// Says what the command says; each must be taken.
    fn said(walk: &mut Walk) -> Vec<Fact> {
        walk.another_driver();
        let all = said_revoked(&walk.state);
        all.iter().for_each(|fact| walk.say(fact.clone()));
        assert_eq!((walk.state.hold(), walk.state.old_key()), (None, OldKey::Ended));
        all
    }

    /// Red where the pause is ended first: the statement is refused then, and the key is disabled in vain once more.
    #[test]
    fn a_statement_that_a_pause_names_ends_it() {
        let mut walk = Walk::to(Phase::Disable);
        while walk.first_op() != Some(Op::Disable) {
            walk.go_on();
        }
        let intent = walk.begin(&Op::Disable);
        walk.end(intent, Outcome::Failed { retry: false });
        let failed = Some(Hold::Paused(Reason::Failed(Phase::Disable)));
        walk.until(|state| state.hold() == failed);
        assert_eq!(said(&mut walk), [Fact::HandRevoked]);
    }

    /// Red where the command says of a statement that is taken: refused, it is stuck.
    #[test]
    fn a_statement_at_a_rollback_that_is_stuck_is_no_resume() {
        let mut walk = Walk::to(Phase::RollingBack);
        walk.wait(walk.state.plan().policy.phase_ms_max * 2);
        assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
        assert_eq!(said(&mut walk), [Fact::HandRevoked]);
    }

    #[test]
    fn a_rotation_that_waits_for_the_statement_is_resumed_from_any_other_pause() {
        let mut plan = plan();
        plan.bound = false;
        let mut walk = Walk::of(plan);
        walk.until(|state| wants(state).contains(&Want::Person(Person::RevokeByHand)));
        let mut paused = walk.clone();
        assert_eq!(said(&mut walk), [Fact::HandRevoked]);
        paused.say(Fact::PauseAsked);
        assert_eq!(said(&mut paused), [Fact::Resumed, Fact::HandRevoked]);
    }
}
