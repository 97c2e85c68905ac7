//! `pause`.

use keyroll_codes::Code;
use keyroll_port::{Journal as _, RotationId};
use keyroll_rotation::{Fact, State};

use super::acquire_lock::{Disturbed, acquire_lock};
use super::append_offline::tell;
use super::options::ApplyOptions;
use super::rotate::{resolved, resume};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::next_words::goes_on_without_consent;
use crate::records::old_key;
use crate::records::open_rotation_guard::held_by;
use crate::records::recorded::unread;
use crate::wiring::open::{journal, runtime};

/// The rotation that a process drives now, if it can be meant.
fn driven(places: &Places, id: Option<&str>) -> Option<RotationId> {
    let (_, work) = held_by(places)?;
    work.map(|work| work.rotation).filter(|driven| id.is_none_or(|id| driven.0.starts_with(id)))
}

/// Pauses the rotation: asks its driver, or appends the event if there is none. A disabled old key is enabled first.
pub fn pause(
    id: Option<&str>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let places = installation.places()?;
    let (id, unopened) = match resolved(&places, id) {
        Ok(id) => (id, false),
        Err(problem) => {
            // The disk may be full. The driver is asked all the same.
            let unusable = problem.code == Code::StateUnusable;
            (driven(&places, id).filter(|_| unusable).ok_or(problem)?, true)
        }
    };
    let (lock, places) = acquire_lock(&places, &id, Disturbed::Own, format!("keyroll pause {id}"), operator)?;
    let told = tell(Some(&id.0), &places, |opened| match opened.state.hold() {
        Some(_) => Ok(Vec::new()),
        None => Ok(vec![Fact::PauseAsked]),
    });
    drop(lock);
    let opened = match told {
        Err(problem) if unopened => {
            operator.note(format!(
                "{id} has no driver now. The pause is not recorded ({}); once the journal can be written, keyroll resume {id} \
                 finds out what the last steps did",
                problem.sentence()
            ));
            return Ok(Exit::Paused);
        }
        told => told?,
    };
    let (id, secret, decided) = (opened.id, opened.saved.secret, opened.state.decided());
    if old_key::may_be_off(&opened.state) {
        let asked = ApplyOptions { enables: true, ..ApplyOptions::default() };
        return resume(Some(&id.0), &asked, |_| Vec::new(), installation, operator);
    }
    let recorded = {
        let journal = journal(&places)?;
        runtime(&places)?.block_on(journal.load(&id)).map_err(|error| unread(&error))?
    };
    let keys = match decided {
        true => "the old key is revoked or being revoked",
        false if old_key::is_enabled_again(&recorded, &opened.state) => old_key::ENABLED_AGAIN,
        false => "both keys are unchanged",
    };
    operator.note(paused(&id.0, &secret, &opened.state, keys));
    Ok(Exit::Paused)
}

/// What is said of a rotation that does not go on, and of its keys. One that is stuck refuses `resume`.
fn paused(id: &str, secret: &str, state: &State, keys: &str) -> String {
    format!("paused; {keys}. {}", goes_on_without_consent(id, secret, state))
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Hold, Phase};

    use super::*;
    use crate::records::walk::Walk;
    use crate::records::walk::reach::{Row, reach};

    /// Red where a rotation that is stuck is said to go on with a command that refuses it, or where who pauses is told to end
    /// the old key.
    #[test]
    fn a_pause_names_the_command_that_the_rotation_takes_and_no_consent() {
        let said = |walk: &Walk| paused("0192", "acme", &walk.state, "both keys are unchanged");
        let mut walk = Walk::to(Phase::Quiesce);
        walk.say(Fact::PauseAsked);
        assert_eq!(said(&walk), "paused; both keys are unchanged. keyroll resume 0192");
        walk.say(Fact::AbortAsked);
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        assert_eq!(said(&walk), "paused; both keys are unchanged. keyroll retry 0192");
        assert!(said(&reach(Row::ConsentPaused)).ends_with(". keyroll resume 0192"));
    }
}
