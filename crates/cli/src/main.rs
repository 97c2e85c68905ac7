//! keyroll, the command: replaces API keys, passwords and tokens while they are in use.
//!
//! Invariants, by what is absent: no logic of a rotation is here (commands check, ask, show); nothing prints but
//! `ui`; every variable of the environment is named in `env`; no value is taken from argv or environment.

mod args;
mod beside;
mod commands;
mod config_file;
mod context;
mod drafted;
mod driving;
#[cfg_attr(not(test), allow(dead_code, reason = "the reference page is made from the registry by a test"))]
mod env;
mod examples;
mod exit;
mod harden;
mod interrupt;
mod kept;
mod leaks;
mod machine;
#[cfg(test)]
mod named_commands;
mod places;
mod plans;
mod prints_file;
mod problem;
mod records;
mod redact;
mod reference_page;
mod relay;
mod seen;
mod shielding;
mod ui;
mod usage;
mod wiring;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
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
    let cli = match Cli::try_parse_from(arguments(std::env::args_os().collect())) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error).into(),
    };
    match Context::open(cli.globals) {
        Ok(mut context) => {
            let exit = commands::run(cli.command, &mut context);
            if context.globals.cost {
                ui::show_cost();
            }
            exit
        }
        Err(problem) => ui::fail_early(&problem).into(),
    }
}
