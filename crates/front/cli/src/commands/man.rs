use clap::{Command, CommandFactory as _};
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::args::{Cli, ManArgs};
use crate::context::Context;

/// Where a package has the pages of docs/, for a page that names one and does not say it.
const FILES: &str = "\
.SH FILES
.TP
docs/
The guides and the reference: in /usr/share/doc/keyroll, or in share/doc/keyroll of the archive.
";

/// Prints the manual page of the program, or of one command.
pub(super) fn run(args: &ManArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut command = Cli::command();
    command.build();
    let mut name = "keyroll".to_owned();
    for word in &args.command {
        let found = command.get_subcommands().find(|one| one.get_name() == word && !one.is_hide_set());
        command = found.cloned().ok_or_else(|| {
            Problem::new(Code::UsageWrong, "find the manual page")
                .because(format!("{name} has no such command"))
                .help("keyroll --help")
                .exits(Exit::Usage)
        })?;
        name = format!("{name} {word}");
    }
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(apart(command));
    page.render(&mut text)
        .map_err(|error| Problem::new(Code::NameNotFound, "write the page").because_of(&error))?;
    let files = files(&String::from_utf8_lossy(&text));
    text.extend_from_slice(files.as_bytes());
    context.ui.file(&text);
    Ok(Exit::Done)
}

/// The section that a page lacks.
fn files(page: &str) -> &'static str {
    if page.contains("docs/") && !page.contains("/usr/share/doc/") { FILES } else { "" }
}

/// A manual page joins lines: what follows an example begins after an empty one.
fn apart(command: Command) -> Command {
    let help = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    match help {
        Some(help) => command.after_long_help(help.replace("\nExit codes:", "\n\nExit codes:")),
        None => command,
    }
}
