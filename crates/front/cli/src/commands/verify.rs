use keyroll_app::exit::Exit;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::reports::verify::verify;

use crate::args::VerifyArgs;
use crate::context::Context;

/// Shows whether each version of a secret is alive. Exits with 3 if a finding is bad.
pub(super) fn run(args: &VerifyArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Context { installation, ui, .. } = context;
    let bad = verify(&args.secret, installation, &mut |check| ui.event(Event::Check(check)))?;
    Ok(if bad { Exit::Findings } else { Exit::Done })
}
