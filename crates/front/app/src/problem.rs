//! The problem that a failed command shows.

use std::error::Error;

use keyroll_codes::Code;
use keyroll_config::{ConfigError, Kind};
use keyroll_port::{Class, Failure};
use serde::Serialize;

use crate::exit::Exit;

/// What the operator sees when a command fails. It never contains a value.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What was attempted, a clause: `read the plan`.
    pub attempted: String,
    /// The code of the error, `K` and four digits.
    pub code: Code,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// The next step.
    pub help: Option<String>,
    /// Further mistakes of the same text, in its order.
    pub further: Vec<Further>,
    /// How many mistakes there are beyond those that are listed.
    pub left_off: usize,
    exit: Exit,
}

/// The last step in the help of a manager or a host, which are asked while a rotation is open more often than before. The longest
/// comes first.
const RESUMES: [&str; 2] = ["then `keyroll resume` or `keyroll abort`", "then `keyroll resume`"];

/// The commands that take the id of a rotation.
const OF_ROTATIONS: [&str; 4] = ["resume", "retry", "abort", "pause"];

/// A further mistake of the text that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Further {
    /// What is wrong, with its place in the text.
    pub cause: String,
    /// The next step.
    pub help: Option<String>,
}

impl Problem {
    /// A failure that changed nothing; `attempted` is a clause: `read the plan`.
    pub fn new(code: Code, attempted: impl Into<String>) -> Self {
        let (causes, further) = (Vec::new(), Vec::new());
        Self {
            attempted: attempted.into(),
            code,
            causes,
            help: None,
            further,
            left_off: 0,
            exit: Exit::Failed,
        }
    }

    /// Adds a cause, outermost first.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds an error and everything behind it.
    pub fn because_of(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds the operator's next step.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same where no rotation is open: its last step is this command, and there is nothing to roll back.
    #[must_use]
    pub fn before_rotation(self, command: &str) -> Self {
        let again = format!("then `{command}`");
        let fitting = |help: String| RESUMES.iter().fold(help, |help, resumes| help.replace(resumes, &again));
        Self { help: self.help.map(fitting), ..self }
    }

    /// The same in this rotation: where several are open, a command has to name its own.
    #[must_use]
    pub fn of_rotation(self, id: &str) -> Self {
        let named = |help: String| OF_ROTATIONS.iter().fold(help, |help, verb| with_id(&help, verb, id));
        Self { help: self.help.map(named), ..self }
    }

    /// Sets how the process ends.
    pub fn exits(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What was attempted and why it failed, on one line.
    pub fn sentence(&self) -> String {
        sentence(&self.attempted, &self.causes)
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// A text in which each `keyroll VERB` without an id has this one.
fn with_id(text: &str, verb: &str, id: &str) -> String {
    let command = format!("keyroll {verb}");
    let mut parts = text.split(&command);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        let ends_here = !rest.starts_with(|it: char| it.is_alphanumeric());
        let next = rest.strip_prefix(' ').unwrap_or_default();
        let next = next.split(|it: char| !it.is_ascii_alphanumeric()).next().unwrap_or_default();
        let has_id = next == "ID" || next.contains(|it: char| it.is_ascii_digit());
        all += &command;
        if ends_here && !has_id {
            all = format!("{all} {id}");
        }
        all += rest;
    }
    all
}

/// What was attempted and why it failed, on one line.
pub fn sentence(attempted: &str, causes: &[String]) -> String {
    format!("could not {attempted}: {}", causes.join(": "))
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let attempted = match error.kind() == Kind::BadEdit {
            true => "change the configuration",
            false => "read the configuration",
        };
        let further = error
            .further()
            .iter()
            .map(|one| Further { cause: one.to_string(), help: one.help().map(str::to_owned) });
        let mut problem = Self::new(error.code(), attempted).because(error.to_string());
        (problem.further, problem.left_off) = (further.collect(), error.left_off());
        match error.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

/// An effect that may have happened needs an operator or an inspection; any other failure changed nothing.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let exit = match failure.class {
            Class::Retryable | Class::Permanent => Exit::Failed,
            Class::Unknown => Exit::NeedsPerson,
        };
        let mut problem = Self::new(failure.code, failure.attempted.clone()).exits(exit);
        if let Some(source) = failure.source() {
            problem = problem.because_of(source);
        }
        problem.help = failure.help;
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_before_a_rotation_is_open_names_the_command_to_run_again() {
        let help = |help: &str| {
            let problem = Problem::new(Code::AdminRefused, "list the keys").help(help);
            problem.before_rotation("keyroll plan ring").help.unwrap()
        };
        assert_eq!(
            help("start the service, then `keyroll resume`"),
            "start the service, then `keyroll plan ring`"
        );
        assert_eq!(
            help("see why, then `keyroll resume` or `keyroll abort`"),
            "see why, then `keyroll plan ring`"
        );
        assert_eq!(
            help("start it, then `keyroll resume`; or name its folder"),
            "start it, then `keyroll plan ring`; or name its folder"
        );
        assert_eq!(
            help("keyroll resume 0192, or keyroll abort 0192"),
            "keyroll resume 0192, or keyroll abort 0192"
        );
    }

    #[test]
    fn what_fails_in_a_rotation_names_it_in_each_command() {
        let help = |help: &str| {
            let problem = Problem::new(Code::AdminRefused, "list the keys").help(help);
            problem.of_rotation("0192").help.unwrap()
        };
        for (before, after) in [
            (
                "see why, then `keyroll resume` or `keyroll abort`",
                "see why, then `keyroll resume 0192` or `keyroll abort 0192`",
            ),
            ("then: keyroll resume --revoked-by-hand", "then: keyroll resume 0192 --revoked-by-hand"),
            ("undo that; then run: keyroll retry", "undo that; then run: keyroll retry 0192"),
            ("keyroll abort 7f, or keyroll resume ID", "keyroll abort 7f, or keyroll resume ID"),
            ("see `keyroll status`", "see `keyroll status`"),
        ] {
            assert_eq!(help(before), after);
        }
    }
}
