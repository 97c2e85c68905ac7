use clap::CommandFactory as _;
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

use crate::args::{Cli, CompletionArgs};
use crate::context::Context;

/// Prints a shell completion script.
pub(super) fn run(args: &CompletionArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keyroll", &mut text);
    context.ui.file(&text);
    Ok(Exit::Done)
}
