//! keyroll, the command: replaces API keys, passwords and tokens while they are in use.
//!
//! Invariants, by what is absent: no logic of a rotation is here (commands check arguments, call `keyroll-app` and show
//! results); nothing prints but `ui`; no value is taken from argv or environment.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod args;
mod closing_line;
mod commands;
mod completion;
mod context;
mod examples;
mod graph;
mod harden;
mod leaks;
#[cfg(test)]
mod named_commands;
mod program_terminal;
mod recorded;
mod reference_page;
mod relay;
mod remote;
mod signals;
mod ui;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use keyroll_app::env;

use crate::args::{Cli, Command};
use crate::context::Context;

/// `help leaks` is `leaks --help`.
fn arguments(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

fn main() -> ExitCode {
    harden::process();
    // Only the script of a shell has the words behind `--`: a variable that was left set ends no other command.
    if let Some(shell) = env::COMPLETE.get()
        && std::env::args_os().nth(1).is_some_and(|word| word == "--")
    {
        return completion::answer(&shell);
    }
    let cli = match Cli::try_parse_from(arguments(std::env::args_os().collect())) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error).into(),
    };
    if matches!(cli.command, Command::Get(_) | Command::Run(_)) {
        harden::visible();
    }
    let mut context = Context::open(cli.globals);
    let exit = match remote::run(&cli.command, &mut context) {
        Some(ended) => commands::end(ended, &mut context),
        None => {
            let may_follow = closing_line::may_follow(&cli.command);
            let exit = commands::run(cli.command, &mut context);
            if may_follow {
                closing_line::show(&mut context);
            }
            exit
        }
    };
    if context.globals.cost {
        ui::show_cost();
    }
    exit
}
