//! The problem that a failed command shows.

use std::error::Error;

use keyroll_codes::Code;
use keyroll_config::{ConfigError, Kind};
use keyroll_port::{Class, Failure};

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
    exit: Exit,
}

impl Problem {
    /// A failure that changed nothing; `attempted` is a clause: `read the plan`.
    pub fn new(code: Code, attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), code, causes: Vec::new(), help: None, exit: Exit::Failed }
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
        let problem = Self::new(error.code(), attempted).because(error.to_string());
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
