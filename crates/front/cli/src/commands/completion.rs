use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::args::CompletionArgs;
use crate::completion::script;
use crate::context::Context;

/// Prints a shell completion script.
pub(super) fn run(args: &CompletionArgs, context: &mut Context) -> Result<Exit, Problem> {
    let unwritten = || Problem::new(Code::NameNotFound, "write the script");
    let written = script(&args.shell.to_string()).ok_or_else(unwritten)?;
    let text = written.map_err(|error| unwritten().because_of(&error))?;
    context.ui.file(&text);
    Ok(Exit::Done)
}
