//! `--server URL`: the same commands, done by a server.
//!
//! A command that reads is run by the server as it was typed. Plans and rotations are asked for by requests of their own,
//! and then watched. Nothing of the installation on this machine is read.

mod door;
mod operate;
mod table;
mod watch;

use keyroll_app::env;
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

use self::door::{Door, usage};
use self::table::{Place, own_words, place};
use crate::args::{Command, Globals};
use crate::context::Context;

pub(crate) use self::table::readable;

/// Has a command done by the server that is named; `None` if it is done on this machine.
pub(crate) fn run(command: &Command, context: &mut Context) -> Option<Result<Exit, Problem>> {
    let url = match url(&context.globals) {
        Ok(url) => url?,
        Err(problem) => return Some(Err(problem)),
    };
    match place(command) {
        Place::Here if context.globals.server.is_none() => None,
        Place::Here => {
            Some(Err(usage(format!("keyroll {} needs no server", name())).help("run it without --server")))
        }
        Place::There => {
            let why = "with these arguments, works only on the machine of the server";
            let help = "run it there; or here, with --config FILE, for the installation of this machine";
            Some(Err(usage(format!("keyroll {}, {why}", name())).help(help)))
        }
        Place::Read(_) => Some(Door::open(&url, context).and_then(|door| read(&door, context))),
        Place::Asked(operation) => {
            Some(Door::open(&url, context).and_then(|door| operate::run(operation, &door, context)))
        }
    }
}

/// The server that is named, by an option or the environment. An option that names this machine's installation counts more
/// than the environment: so the processes that a server starts never ask a server.
fn url(globals: &Globals) -> Result<Option<String>, Problem> {
    let here = [
        ("--config", globals.config.is_some()),
        ("--state", globals.state.is_some()),
        ("--keys", globals.keys.is_some()),
        ("--sealing-key", globals.sealing_key.is_some()),
    ];
    let here = here.into_iter().find(|(_, given)| *given).map(|(option, _)| option);
    match (&globals.server, here) {
        (Some(_), Some(option)) => {
            let why = format!("--server cannot be combined with {option}, which names an installation here");
            Err(usage(why).help("leave one of them out"))
        }
        (Some(url), None) => Ok(Some(url.clone())),
        (None, Some(_)) => Ok(None),
        (None, None) => Ok(env::SERVER.get().map(|url| url.to_string_lossy().into_owned())),
    }
}

/// The name of the command; its other words may be values in the wrong place.
fn name() -> String {
    words().map(|words| words.into_iter().next().unwrap_or_default()).unwrap_or_default()
}

/// The words of the command, as they were typed.
fn words() -> Result<Vec<String>, Problem> {
    let typed = std::env::args_os().skip(1).map(|word| word.into_string().ok());
    let typed: Option<Vec<String>> = typed.collect();
    typed.map(own_words).ok_or_else(|| usage("an argument is not UTF-8").help("keyroll --help"))
}

/// Shows what a command that reads wrote, and ends as it ended.
fn read(door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    let words = words()?;
    let said = watch::said(&words, context.ui.look.json, door).map_err(|unanswered| unanswered.problem)?;
    watch::show(&said, context);
    // The other texts name commands for the machine of the server, too.
    if words.first().is_some_and(|word| word == "status") {
        watch::show_options(&said, door, context);
    }
    Ok(said.exit)
}
