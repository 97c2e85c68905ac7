use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::reports::runbook::runbook;

use crate::args::RunbookArgs;
use crate::context::Context;

/// Prints the procedure for a leaked key of a secret. Reads the configuration alone.
pub(super) fn run(args: &RunbookArgs, context: &mut Context) -> Result<Exit, Problem> {
    let text = runbook(&args.secret, &context.installation)?;
    context.ui.data(text.trim_end());
    Ok(Exit::Done)
}
