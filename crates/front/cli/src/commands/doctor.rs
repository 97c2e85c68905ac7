use keyroll_app::accept_state::{accept_journal, accept_machine};
use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, Finding};
use keyroll_app::problem::Problem;
use keyroll_app::reports::doctor::doctor;

use crate::args::DoctorArgs;
use crate::context::Context;

/// Checks everything that a rotation needs; changes nothing. Exits with 3 if a finding is bad.
pub(super) fn run(args: &DoctorArgs, context: &mut Context) -> Result<Exit, Problem> {
    if args.accept_journal || args.moved_here {
        let places = context.installation.places()?;
        let accept = if args.accept_journal { accept_journal } else { accept_machine };
        return accept(&places, &mut context.ui).map(|()| Exit::Done);
    }
    let checks = doctor(&context.installation)?;
    let bad = checks.iter().any(|check| check.finding == Finding::Bad);
    for check in checks {
        context.ui.event(Event::Check(check));
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}
