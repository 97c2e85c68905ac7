//! `pause`.

use keyroll_codes::Code;
use keyroll_port::{Journal as _, RotationId};
use keyroll_rotation::Fact;

use super::acquire_lock::{Disturbed, acquire_lock};
use super::append_offline::tell;
use super::options::ApplyOptions;
use super::rotate::{resolved, resume};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
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
    let (lock, places) = acquire_lock(&places, &id, Disturbed::Own, operator)?;
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
    let (id, decided) = (opened.id, opened.state.decided());
    if old_key::may_be_off(&opened.state) {
        return resume(Some(&id.0), &ApplyOptions::default(), |_| Vec::new(), installation, operator);
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
    operator.note(format!("paused; {keys}. keyroll resume {id}"));
    Ok(Exit::Paused)
}
