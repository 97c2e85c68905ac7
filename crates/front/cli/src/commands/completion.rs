use clap::{ArgGroup, Command, CommandFactory as _, Id};
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

use crate::args::{Cli, CompletionArgs};
use crate::context::Context;

/// Prints a shell completion script.
pub(super) fn run(args: &CompletionArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut text = Vec::new();
    let mut command = listed(&Cli::command()).version(env!("CARGO_PKG_VERSION"));
    clap_complete::generate(args.shell, &mut command, "keyroll", &mut text);
    context.ui.file(&text);
    Ok(Exit::Done)
}

/// The command without the options and commands that its help does not list: `clap_complete` offers them too.
fn listed(command: &Command) -> Command {
    let all = || command.get_arguments().filter(|one| !one.is_hide_set());
    let groups = command.get_groups().map(|group| {
        let args: Vec<Id> =
            group.get_args().filter(|id| all().any(|one| one.get_id() == *id)).cloned().collect();
        ArgGroup::new(group.get_id().clone()).args(args).multiple(true)
    });
    Command::new(kept(command.get_name()))
        .about(command.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(all().cloned())
        .groups(groups)
        .visible_aliases(command.get_visible_aliases().map(kept))
        .subcommands(command.get_subcommands().filter(|one| !one.is_hide_set()).map(listed))
}

/// A name for the rest of this process, which ends with the script.
fn kept(name: &str) -> &'static str {
    name.to_owned().leak()
}
