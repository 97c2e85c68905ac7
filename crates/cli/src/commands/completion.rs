use clap::CommandFactory as _;

use crate::args::{Cli, CompletionArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;

/// Prints what a shell completes the commands and flags by.
pub(super) fn run(args: &CompletionArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keyroll", &mut text);
    context.ui.file(&text);
    Ok(Exit::Done)
}
