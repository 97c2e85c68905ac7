use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;

/// Names of the shell's own state, which no variable can have: the working folder, and `set -a`.
pub(super) const FOLDER: &str = "-cd";
pub(super) const ALL_EXPORTED: &str = "-a";

/// What `set -a` is while it is off.
pub(super) const OFF: &str = "";

/// Why something is not visible.
pub(crate) type Why = &'static str;

/// Where a shell text runs.
pub(crate) struct Around<'a> {
    /// The working folder at its first line.
    pub(crate) folder: &'a Path,
    /// The script's own path (`$0`, `${BASH_SOURCE[0]}`), if it is a file.
    pub(crate) script: Option<&'a Path>,
    /// The home of its user.
    pub(crate) home: Option<&'a Path>,
}

/// What one place of the text does to variables. Of two steps the later one counts, for the last program that the text
/// starts.
pub(crate) enum Step {
    /// It reads a file of variables.
    Reads {
        /// The file.
        path: PathBuf,
        /// Whether it depends on a condition that the text does not decide.
        perhaps: bool,
        /// Whether programs get its variables. If not, they get those that the shell had exported before, or that the file
        /// exports itself.
        exported: bool,
    },
    /// It sets a variable to a literal text.
    Sets {
        /// The variable.
        name: String,
        /// The text.
        value: SecretBytes,
        /// From 1 on.
        line: u64,
        /// Whether it depends on a condition that the text does not decide.
        perhaps: bool,
        /// Whether programs get it. If not, they get it only where the shell itself was started with this variable.
        exported: bool,
    },
    /// It sets variables in a way that is not visible here.
    Hidden {
        /// The variable, if it is one.
        name: Option<String>,
        /// From 1 on.
        line: u64,
        /// Why.
        why: Why,
    },
}

/// What is done with the lines of a file of variables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// `. FILE`, `source FILE`: the shell runs them.
    Sourced,
    /// `env $(grep … FILE | xargs) …`, `export $(cat FILE)`: they are split into words.
    Words,
    /// `--env-file FILE`, `dotenv FILE`: a program reads them.
    Option,
}

/// How a word is expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A word of a command: values are split, and patterns replaced by names.
    Word,
    /// The value of an assignment.
    Value,
    /// Between double quotes.
    Quoted,
}

/// A variable, or a part of the shell's own state.
pub(super) struct Variable {
    /// `None` = the text does not show it.
    pub(super) value: Option<SecretBytes>,
    /// `None` = that depends.
    pub(super) exported: Option<bool>,
    /// Whether nothing else in the text sets it, so that it is the same in each run of a loop or function.
    pub(super) steady: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The whole text.
    Text,
    /// Commands that `&&` and `||` join.
    List,
    /// The part of a list that runs only if what is before it went well, or failed.
    Rest,
    /// `{ …; }`
    Group,
    /// `( … )`, and everything else whose changes end with it.
    Subshell,
    /// Another shell: `bash -c '…'`. It has only what is exported.
    Shell,
    If,
    /// `while`, `until`, `for`, `select`.
    Loop,
    Case,
}

/// A part of the text, with what it changes.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) changes: BTreeMap<String, Variable>,
    /// The number of the first step in it.
    pub(super) first: usize,
    /// The number of commands before it.
    pub(super) commands: usize,
    /// The file that must be there for this part to run; no other condition.
    pub(super) tested: Option<PathBuf>,
    pub(super) function: bool,
    /// It runs if the command before it failed: what that command would have changed is not told.
    pub(super) otherwise: bool,
    /// Whether it is behind a pipe.
    pub(super) piped: bool,
    /// `case`: a pattern follows.
    pub(super) pattern: bool,
    /// What follows in it is not reached.
    pub(super) ended: bool,
    /// What follows in it is reached only if a command before it did not run.
    pub(super) forked: bool,
}

impl Frame {
    pub(super) fn of(kind: Kind, first: usize) -> Self {
        Self {
            kind,
            changes: BTreeMap::new(),
            first,
            commands: usize::MAX,
            tested: None,
            function: false,
            otherwise: false,
            piped: false,
            pattern: false,
            ended: false,
            forked: false,
        }
    }

    pub(super) fn conditional(&self) -> bool {
        self.function || matches!(self.kind, Kind::Rest | Kind::If | Kind::Loop | Kind::Case)
    }

    /// Whether it is a process of its own.
    pub(super) fn process(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Subshell | Kind::Shell)
    }

    /// Another branch begins: what the branch before it changed is not told.
    pub(super) fn doubt(&mut self) {
        self.tested = None;
        self.commands = usize::MAX;
        for variable in self.changes.values_mut() {
            variable.value = None;
            variable.exported = None;
        }
    }
}

/// What the command before an operator was.
#[derive(Default)]
pub(super) struct Last {
    /// It sets up the shell, and does not fail unless the start fails.
    pub(super) plain: bool,
    /// The file whose presence it tests.
    pub(super) tested: Option<PathBuf>,
}

pub(super) struct Reader<'a> {
    pub(super) around: &'a Around<'a>,
    pub(super) steps: Vec<Option<Step>>,
    /// The steps that hold only for a program which was started before: for another one after it they do not.
    pub(super) over: Vec<usize>,
    pub(super) frames: Vec<Frame>,
    /// How often the text may set each name, by hash.
    pub(super) mentions: HashMap<u64, usize>,
    pub(super) last: Last,
    pub(super) commands: usize,
    pub(super) line: u64,
    /// How many shells are within one another.
    pub(super) shells: usize,
    pub(super) piped: bool,
    pub(super) negated: bool,
    /// The next block is the body of a function.
    pub(super) function: bool,
    /// The functions of the text, and whether one of them ends the text.
    pub(super) functions: BTreeSet<String>,
    pub(super) function_ends: bool,
    pub(super) full: bool,
    /// How much was expanded, bytes.
    pub(super) expanded: Cell<usize>,
}
