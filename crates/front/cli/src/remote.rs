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

/// The server that is named, by an option or the environment.
fn url(globals: &Globals) -> Result<Option<String>, Problem> {
    let here = named_here(|option| match option {
        HereOption::Config => globals.config.is_some(),
        HereOption::State => globals.state.is_some(),
        HereOption::Keys => globals.keys.is_some(),
        HereOption::SealingKey => globals.sealing_key.is_some(),
    });
    match (&globals.server, here) {
        (Some(_), Some(option)) => {
            let why = format!(
                "--server cannot be combined with {}, which names an installation here",
                option.word()
            );
            Err(usage(why).help("leave one of them out"))
        }
        (server, here) => Ok(server_asked(server.clone(), here)),
    }
}

/// An option that names this machine's installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HereOption {
    Config,
    State,
    Keys,
    SealingKey,
}

impl HereOption {
    const ALL: [Self; 4] = [Self::Config, Self::State, Self::Keys, Self::SealingKey];

    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Config => "--config",
            Self::State => "--state",
            Self::Keys => "--keys",
            Self::SealingKey => "--sealing-key",
        }
    }
}

/// The first option that names this machine's installation, of those that are given.
pub(crate) fn named_here(is_given: impl Fn(HereOption) -> bool) -> Option<HereOption> {
    HereOption::ALL.into_iter().find(|option| is_given(*option))
}

/// The server that is asked: the one of the option, or else that of the environment. An option that names this machine's
/// installation counts more than the environment: so the processes that a server starts never ask a server.
pub(crate) fn server_asked(option: Option<String>, here: Option<HereOption>) -> Option<String> {
    named_by(option, here, || env::SERVER.get().map(|url| url.to_string_lossy().into_owned()))
}

/// The same, with what the environment says.
fn named_by(
    option: Option<String>,
    here: Option<HereOption>,
    environment: impl FnOnce() -> Option<String>,
) -> Option<String> {
    option.or_else(|| environment().filter(|_| here.is_none()))
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    /// Red where an option is renamed, or is looked for under another name: a server would be asked beside it.
    #[test]
    fn an_option_that_names_an_installation_here_excludes_a_server() {
        for option in HereOption::ALL {
            let named = |words: &[&str]| {
                let own = ["keyroll", option.word(), "here", "status"];
                let words = own.into_iter().chain(words.iter().copied());
                url(&Cli::try_parse_from(words).unwrap().globals)
            };
            assert_eq!(named(&[]).unwrap(), None, "{option:?}");
            let problem = named(&["--server", "http://127.0.0.1:9"]).unwrap_err();
            assert!(problem.causes.iter().any(|why| why.contains(option.word())), "{problem:?}");
        }
    }

    /// Red where a process that a server starts asks that server again, or the environment counts more than the option.
    #[test]
    fn the_server_of_the_environment_is_asked_only_where_no_option_names_a_server_or_an_installation_here() {
        let of_option = || Some("http://127.0.0.1:9".to_owned());
        let of_environment = || Some("http://127.0.0.1:10".to_owned());
        assert_eq!(named_by(None, None, of_environment), of_environment());
        assert_eq!(named_by(of_option(), None, of_environment), of_option());
        for option in HereOption::ALL {
            assert_eq!(named_by(None, Some(option), of_environment), None, "{option:?}");
        }
    }
}
