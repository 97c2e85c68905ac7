//! Values from keyroll's socket in the environment of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_manager::found;
use keyroll_secret::SecretBytes;
use keyroll_served::Request;

use super::super::socket::{Given, Socket, given, problem};
use super::below::{EXEC_FAILED, NOT_FOUND};
use crate::args::RunArgs;

/// The longest value that a variable can have, bytes (MAX_ARG_STRLEN, execve(2)), with its name.
const VARIABLE_BYTES_MAX: usize = 128 * 1024 - 1;

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The names of fields that are no secret.
const PUBLIC: [&str; 2] = ["username", "user"];

/// The versions of secrets, by name.
pub(super) type Versions = BTreeMap<String, u32>;

/// A variable of the program, and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    name: String,
    secret: String,
    field: Option<String>,
}

/// What the program is given.
pub(super) struct Source {
    pub(super) socket: Socket,
    /// The program's file, without links, as the server names it.
    runs: PathBuf,
    variables: Vec<Assignment>,
}

/// Every secret of the variables, each with all of its fields.
#[derive(Default)]
pub(super) struct Values(pub(super) BTreeMap<String, Given>);

impl Source {
    /// `runs` is the program's [file](file_of).
    pub(super) fn of(args: &RunArgs, runs: PathBuf) -> Result<Self, Problem> {
        let socket = Socket::of(args.socket.as_deref());
        let variables: Vec<Assignment> =
            args.variables.iter().map(|word| assignment(word)).collect::<Result<_, _>>()?;
        let names: BTreeSet<&str> = variables.iter().map(|one| one.name.as_str()).collect();
        if names.len() < variables.len() {
            return Err(wrong("a variable is set twice"));
        }
        Ok(Self { socket, runs, variables })
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self.variables.iter().map(|one| one.secret.as_str()).collect();
        names.into_iter()
    }

    /// One secret; `None` if it still has this version after `wait`.
    pub(super) fn get(
        &self,
        secret: &str,
        have: Option<u32>,
        wait: Duration,
    ) -> Result<Option<Given>, Problem> {
        let request = Request::Get {
            secret: secret.to_owned(),
            have,
            wait: have.map(|_| wait.as_secs()),
            keeps: None,
            runs: Some(self.runs.clone()),
            itself: false,
        };
        let answer = self.socket.ask(secret, &request, wait)?;
        let given = given(secret, &answer)?;
        given.map(|given| self.usable(secret, given)).transpose()
    }

    /// Refuses what no variable can hold.
    fn usable(&self, secret: &str, given: Given) -> Result<Given, Problem> {
        for variable in self.variables.iter().filter(|one| one.secret == secret) {
            let value = given.chosen(secret, variable.field.as_deref())?;
            let why = match value {
                _ if value.contains('\0') => "a NUL byte ends a variable",
                _ if value.len() + variable.name.len() > VARIABLE_BYTES_MAX => {
                    "it is longer than the 128 KiB that the system allows a variable"
                }
                _ => continue,
            };
            return Err(problem(secret).because(why).help("deliver it to a file instead: `reads`"));
        }
        Ok(given)
    }

    /// All of them, now.
    pub(super) fn all(&self) -> Result<Values, Problem> {
        let mut all = Values::default();
        for secret in self.secrets() {
            let given = self.get(secret, None, Duration::ZERO)?;
            let given = given.ok_or_else(|| problem(secret).because("its answer is not understood"))?;
            all.0.insert(secret.to_owned(), given);
        }
        Ok(all)
    }

    /// Sets the variables.
    pub(super) fn set(&self, values: &Values, command: &mut Command) {
        for variable in &self.variables {
            if let Some(value) = values.chosen(variable) {
                command.env(&variable.name, value);
            }
        }
    }

    /// What must not be shown of a version.
    pub(super) fn hidden(&self, values: &Values) -> Vec<(String, SecretBytes)> {
        let secret = |one: &&Assignment| one.field.as_deref().is_none_or(|name| !PUBLIC.contains(&name));
        let chosen = self.variables.iter().filter(secret);
        let value =
            |one: &Assignment| Some((one.secret.clone(), SecretBytes::from(values.chosen(one)?.to_owned())));
        chosen.filter_map(value).collect()
    }
}

impl Values {
    fn chosen(&self, variable: &Assignment) -> Option<&str> {
        self.0.get(&variable.secret)?.chosen(&variable.secret, variable.field.as_deref()).ok()
    }

    pub(super) fn versions(&self) -> Versions {
        self.0.iter().map(|(secret, given)| (secret.clone(), given.version)).collect()
    }
}

/// The program's file, without links. If there is none, why, and the exit code that says so in shells.
pub(super) fn file_of(program: &OsStr) -> Result<PathBuf, (Problem, u8)> {
    let named = program.to_string_lossy();
    found(&named).and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
        let (why, code) = match named.contains('/') && Path::new(program).exists() {
            true => ("it is not executable", EXEC_FAILED),
            false => ("no such program", NOT_FOUND),
        };
        (not_started().because(format!("{named}: {why}")), code)
    })
}

/// What every problem of its start says.
pub(super) fn not_started() -> Problem {
    Problem::new(Code::ProgramNotStarted, "run the program")
        .help("write the command after -- as you would without keyroll; a program without a slash is searched for in PATH")
}

fn wrong(why: &str) -> Problem {
    Problem::new(Code::ProgramNotStarted, "set a variable of the program")
        .because(why)
        .help("write --env NAME=SECRET, for example --env API_KEY=anthropic")
        .exits(Exit::Usage)
}

/// Reads `NAME=SECRET[:FIELD]`. The word is not repeated: who mistakes the form may have written a value.
fn assignment(word: &str) -> Result<Assignment, Problem> {
    let (name, from) = word.split_once('=').ok_or_else(|| wrong("a word of --env has no ="))?;
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts || !name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_') {
        return Err(wrong("a variable has letters, digits and _, and begins with no digit"));
    }
    let (secret, field) = match from.split_once(':') {
        Some((secret, field)) => (secret, Some(field)),
        None => (from, None),
    };
    let named = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(in_name);
    if !named(secret) || !field.is_none_or(named) {
        return Err(wrong("after = comes the name of a secret in keyroll.toml, and its field after a colon"));
    }
    Ok(Assignment { name: name.to_owned(), secret: secret.to_owned(), field: field.map(str::to_owned) })
}

fn in_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-')
}
