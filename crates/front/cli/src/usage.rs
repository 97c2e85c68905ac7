// The enum belongs to clap, which may add kinds.
#![allow(clippy::wildcard_enum_match_arm)]

use clap::error::{ContextKind, ContextValue, ErrorKind};
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::ui;

/// Shows why the parser stopped: help and version on stdout, anything else as a problem.
///
/// The text of the command line is not repeated, except flags: it may be a value in the wrong position, and messages
/// may be logged.
pub(crate) fn answer(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is not an error here.
            let _ = error.print();
            Exit::Done
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ => {
            ui::fail_early(&explain(error));
            Exit::Usage
        }
    }
}

/// Why the parser refuses a command line, without its text.
pub(crate) fn explain(error: &clap::Error) -> Problem {
    let problem = Problem::new(Code::UsageWrong, "understand the command line")
        .because(cause(error))
        .exits(Exit::Usage);
    match help(error) {
        Some(help) => problem.help(help),
        None => problem.help("keyroll --help"),
    }
}

fn cause(error: &clap::Error) -> String {
    let argument = texts(error, ContextKind::InvalidArg).join(", ");
    let flag = if argument.starts_with('-') {
        argument.split('=').next().unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    match error.kind() {
        ErrorKind::UnknownArgument if flag.is_empty() => "there is one argument too many".to_owned(),
        ErrorKind::UnknownArgument => format!("there is no flag {flag}"),
        ErrorKind::InvalidSubcommand => "there is no such command".to_owned(),
        ErrorKind::MissingRequiredArgument => format!("missing: {argument}"),
        ErrorKind::ArgumentConflict => {
            let other = texts(error, ContextKind::PriorArg).join(", ");
            format!("{argument} cannot be combined with {other}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = texts(error, ContextKind::ValidValue);
            let (flag, form) = argument.split_once(' ').unwrap_or((argument.as_str(), "a value"));
            let form = form.trim_matches(['<', '>', '.']);
            let none = texts(error, ContextKind::InvalidValue).concat().is_empty();
            match valid.is_empty() {
                true if none => format!("{flag} needs a value: {form}"),
                true => format!("the value of {flag} is not valid; expected: {form}"),
                false => format!("{argument} must be one of: {}", valid.join(", ")),
            }
        }
        kind => kind.to_string(),
    }
}

fn help(error: &clap::Error) -> Option<String> {
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue] {
        if let Some(near) = texts(error, kind).first() {
            return Some(format!("did you mean `{near}`?"));
        }
    }
    let usage = texts(error, ContextKind::Usage).join(" ");
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    (!usage.is_empty()).then_some(usage)
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        _ => Vec::new(),
    }
}
