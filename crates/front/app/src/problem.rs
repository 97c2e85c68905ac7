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
    pub left_off: u32,
    /// The help only says what to mend: whoever knows which command comes then adds it. In a box, as every result has room for
    /// a problem.
    unfinished: Option<Box<Unfinished>>,
    exit: Exit,
}

/// The parts of a help that lacks its command.
#[derive(Debug, Clone)]
struct Unfinished {
    /// What the operator mends.
    mend: Option<String>,
    /// What the operator does where that cannot be mended: no command comes after it.
    instead: Option<String>,
}

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
            unfinished: None,
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

    /// Sets the operator's next step: the last one, too.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self.unfinished = None;
        self
    }

    /// Sets what the operator mends before the command that [`Problem::then`] adds.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        let mend = mend.into();
        self.help = Some(mend.clone());
        self.unfinished = Some(Box::new(Unfinished { mend: Some(mend), instead: None }));
        self
    }

    /// Adds what the operator does where the cause cannot be mended. It stays behind the command that [`Problem::then`] adds.
    #[must_use]
    pub fn or_instead(mut self, way: impl Into<String>) -> Self {
        let way = way.into();
        self.help = Some(match self.help.take() {
            Some(help) => format!("{help}; {way}"),
            None => way.clone(),
        });
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.instead = Some(way);
        }
        self
    }

    /// The same with the command that comes once the cause is mended, if the help says none yet.
    #[must_use]
    pub fn then(mut self, command: &str) -> Self {
        if let Some(unfinished) = self.unfinished.take() {
            let Unfinished { mend, instead } = *unfinished;
            let mend = mend.unwrap_or_else(|| format!("keyroll explain {}", self.code));
            let instead = instead.map(|way| format!("; {way}")).unwrap_or_default();
            self.help = Some(format!("{mend}; then: {command}{instead}"));
        }
        self
    }

    /// Whether the help only says what to mend.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
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
        let further = error
            .further()
            .iter()
            .map(|one| Further { cause: one.to_string(), help: one.help().map(str::to_owned) });
        let mut problem = Self::new(error.code(), attempted).because(error.to_string());
        (problem.further, problem.left_off) =
            (further.collect(), u32::try_from(error.left_off()).unwrap_or(u32::MAX));
        match error.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

/// An effect that may have happened needs an operator or an inspection; any other failure changed nothing. What fails does not
/// know for which command, so its help only says what to mend.
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
        problem.help.clone_from(&failure.help);
        problem.unfinished = Some(Box::new(Unfinished { mend: failure.help, instead: None }));
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(help: Option<&str>) -> Problem {
        let failure = Failure::new(Class::Permanent, Code::AdminRefused, "list the keys");
        Problem::from(match help {
            Some(help) => failure.help(help),
            None => failure,
        })
    }

    #[test]
    fn a_failure_says_what_to_mend_and_the_command_that_failed_comes_then_once() {
        let help =
            |problem: Problem| problem.then("keyroll plan ring").then("keyroll resume 0192").help.unwrap();
        assert_eq!(help(refused(Some("start the service"))), "start the service; then: keyroll plan ring");
        assert_eq!(help(refused(None)), "keyroll explain K0103; then: keyroll plan ring");
        let mended = refused(Some("start it")).mend("start it, or name its folder");
        assert_eq!(help(mended), "start it, or name its folder; then: keyroll plan ring");
    }

    /// Red where the command stands behind the alternative to it: both would be run, one after the other.
    #[test]
    fn what_is_done_where_nothing_can_be_mended_stands_behind_the_command() {
        let way = "if it is gone: keyroll plan ring --without web-2";
        let help =
            |problem: Problem| problem.then("keyroll plan ring").then("keyroll resume 0192").help.unwrap();
        let with_help = refused(Some("start it")).or_instead(way);
        assert_eq!(with_help.help.as_deref(), Some(&*format!("start it; {way}")), "nobody adds a command");
        assert_eq!(help(with_help), format!("start it; then: keyroll plan ring; {way}"));
        assert_eq!(
            help(refused(None).or_instead(way)),
            format!("keyroll explain K0103; then: keyroll plan ring; {way}")
        );
        let finished = refused(None).help("keyroll doctor").or_instead(way);
        assert_eq!(help(finished), format!("keyroll doctor; {way}"));
    }

    #[test]
    fn a_problem_that_names_its_last_step_gets_no_other_one() {
        let own = || Problem::new(Code::AdminRefused, "list the keys");
        let help = |problem: Problem| problem.then("keyroll plan ring").help;
        assert_eq!(help(own().help("keyroll abort 0192")).as_deref(), Some("keyroll abort 0192"));
        assert_eq!(help(refused(Some("start it")).help("keyroll doctor")).as_deref(), Some("keyroll doctor"));
        assert_eq!(help(own()), None);
    }
}
