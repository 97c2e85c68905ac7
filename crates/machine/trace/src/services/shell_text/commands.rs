use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use super::expansion::clean;
use super::printed::printed;
use super::state::{ALL_EXPORTED, FOLDER, Frame, How, Kind, Last, Mode, OFF, Reader, Step, Why};
use super::tokens::{assignment, name_length, substitution};

/// How many components `/proc/PID/root` has.
const ROOT_PARTS: usize = 4;

/// Commands of the shell that set it up, and do not fail unless the start fails.
const PLAIN: [&str; 27] = [
    ".",
    "source",
    "source_env",
    "source_env_if_exists",
    "dotenv",
    "dotenv_if_exists",
    "export",
    "readonly",
    "declare",
    "typeset",
    "local",
    "unset",
    "set",
    "cd",
    "pushd",
    "popd",
    "shopt",
    "umask",
    "ulimit",
    "trap",
    "alias",
    ":",
    "true",
    "echo",
    "hash",
    "unalias",
    "PATH_add",
];

/// Further commands that are no start of a program which keeps running.
const BRIEF: [&str; 27] = [
    "eval",
    "read",
    "mapfile",
    "readarray",
    "getopts",
    "let",
    "printf",
    "exit",
    "return",
    "[",
    "[[",
    "test",
    "wait",
    "shift",
    "break",
    "continue",
    "false",
    "sleep",
    "grep",
    "egrep",
    "sed",
    "awk",
    "cat",
    "git",
    "mkdir",
    "source_up",
    "source_up_if_exists",
];

const EVAL: Why = "it runs a text that it computes";
const INPUT: Why = "its value is read when it runs";
const ADDED: Why = "a command changes it";
const UNSET: Why = "it is unset here";
const ABOVE: Why = "a file of a folder above is read";
pub(super) const ELSEWHERE: Why = "the text of its shell is not visible here";
pub(super) const OPERANDS: Why = "words that are not visible name what is set";

/// Whether the shell runs it itself.
pub(super) fn is_builtin(name: &str) -> bool {
    PLAIN.contains(&name) || BRIEF.contains(&name)
}

impl Reader<'_> {
    /// A command without its redirections, except for its `input`. `behind`: it stands behind a pipe.
    pub(super) fn command(&mut self, words: &[&str], input: Option<&str>, behind: bool) -> Last {
        let own = words.iter().take_while(|word| assignment(word).is_some()).count();
        let (own, mut words) = words.split_at_checked(own).unwrap_or_default();
        let Some(mut first) = words.first() else {
            for word in own {
                self.assign(word, false, Mode::Value);
            }
            return Last { plain: true, tested: None };
        };
        while matches!(*first, "command" | "builtin" | "\\command") {
            words = words.get(1..).unwrap_or_default();
            let Some(next) = words.first().filter(|next| !next.starts_with('-')) else {
                return Last::default();
            };
            first = next;
        }
        if first.starts_with("((") {
            self.arithmetic(first);
            return Last::default();
        }
        // `[` is also a pattern.
        let name = if is_builtin(first) {
            Ok(Zeroizing::new((*first).to_owned()))
        } else {
            self.expand(first, Mode::Word)
        };
        let name = name.unwrap_or_default();
        let operands = words.get(1..).unwrap_or_default();
        if !is_builtin(&name) || *name == *"dotenv" && runs_program(operands) {
            self.program(own, words, input, behind);
            return Last::default();
        }
        self.builtin(&name, operands);
        Last { plain: PLAIN.contains(&name.as_str()), tested: self.tested(&name, operands) }
    }

    fn builtin(&mut self, name: &str, operands: &[&str]) {
        let first = operands.iter().find(|word| **word != "--").copied();
        match name {
            "." | "source" | "source_env_if_exists" => self.source(first, ""),
            "source_env" => self.source(first, ".envrc"),
            "dotenv" | "dotenv_if_exists" => {
                self.reads(self.path(first.unwrap_or(".env")), How::Option, false)
            }
            "export" | "readonly" | "declare" | "typeset" | "local" => self.declare(name, operands),
            "unset" if operands.first() != Some(&"-f") => {
                for name in operands.iter().filter(|word| !word.starts_with('-')) {
                    match self.expand(name, Mode::Word) {
                        Ok(name) => self.unset(&name),
                        Err(why) => self.hidden(None, why),
                    }
                }
            }
            "set" => self.options(operands),
            "cd" | "pushd" | "popd" => self.enter(operands, name == "popd"),
            "eval" => self.hidden(None, EVAL),
            "source_up" | "source_up_if_exists" => self.hidden(None, ABOVE),
            "read" | "mapfile" | "readarray" | "getopts" => {
                let names = operands.iter().filter(|word| name_length(word) == word.len());
                names.for_each(|name| self.unknown(name, false, INPUT));
            }
            "printf" => {
                if let ["-v", name, ..] = operands {
                    self.unknown(name, false, ADDED);
                }
            }
            "let" => operands.iter().for_each(|word| self.arithmetic(word)),
            ":" => operands.iter().for_each(|word| self.default(word)),
            "exit" => self.end(false),
            // A script goes on after it, and a profile does not.
            "return" => self.leave(),
            _ => {}
        }
    }

    fn source(&mut self, file: Option<&str>, in_folder: &str) {
        let Some(file) = file else { return };
        let mut path = self.path(file);
        let folder = file.ends_with('/') || file == "." || file.ends_with("..");
        if !in_folder.is_empty() && folder {
            path = path.map(|path| path.join(in_folder));
        }
        // Such a file is a pipe that the shell itself fills.
        let device = path.as_ref().is_ok_and(|path| path.starts_with("/dev") || is_of_proc(path));
        self.reads(if device { Err(INPUT) } else { path }, How::Sourced, false);
    }

    /// `export A=b C`, `export $(grep -v '^#' .env | xargs)`
    fn declare(&mut self, name: &str, operands: &[&str]) {
        let given = |letter: char| operands.iter().any(|word| word.starts_with('-') && word.contains(letter));
        let exported = name == "export" || name != "readonly" && given('x');
        // Outside of a function, `local` fails.
        if given('f') || given('F') || name == "local" && !self.frames.iter().any(|frame| frame.function) {
            return;
        }
        let withdrawn = name == "export" && given('n');
        for word in operands.iter().filter(|word| !word.starts_with(['-', '+'])) {
            if expands_braces(word) {
                self.hidden(None, OPERANDS);
                continue;
            }
            if self.assign(word, exported, Mode::Value) {
                continue;
            }
            if substitution(word).is_some() {
                self.words(word);
                continue;
            }
            match self.expand(word, Mode::Word) {
                Err(_) => self.hidden(None, OPERANDS),
                Ok(text) => match text.split_once('=') {
                    Some((name, value)) => self.set(name, value, exported),
                    None if withdrawn => {
                        let value =
                            self.text_of(&text).map(|value| SecretBytes::new(value.as_bytes().to_vec()));
                        self.unset(&text);
                        self.change(&text, value, Some(false));
                    }
                    None if exported => self.export(&text),
                    None => {}
                },
            }
        }
    }

    /// `export NAME`: also what it was set to before.
    fn export(&mut self, name: &str) {
        let value =
            self.variable(name).and_then(|variable| variable.value.as_ref()).map(SecretBytes::duplicate);
        self.change(name, value, Some(true));
        let doubt = self.perhaps(None);
        let mut told = false;
        for step in self.steps.iter_mut().flatten() {
            if let Step::Sets { name: own, exported, perhaps, .. } = step
                && *own == name
            {
                told = true;
                (*exported, *perhaps) = (true, *perhaps || !*exported && doubt);
            }
        }
        // `export -n` took it away.
        if !told && let Some(value) = self.text_of(name) {
            self.set(name, &value, true);
        }
    }

    pub(super) fn unset(&mut self, name: &str) {
        let process = |frame: &Frame| matches!(frame.kind, Kind::Subshell | Kind::Shell);
        let sure = !self.perhaps(None) && !self.frames.iter().any(process);
        let of_name = |step: &Step| match step {
            Step::Sets { name: own, .. } => own == name,
            Step::Hidden { name: own, .. } => own.as_deref() == Some(name),
            Step::Reads { .. } => false,
        };
        let (mut found, mut files) = (false, false);
        for at in 0..self.steps.len() {
            let Some(slot) = self.steps.get_mut(at) else { break };
            let Some(step) = slot else { continue };
            files |= matches!(step, Step::Reads { .. } | Step::Hidden { name: None, .. });
            if of_name(step) {
                found = true;
                if sure { *slot = None } else { self.doubt_step(at) }
            }
        }
        self.change(name, None, Some(false));
        // A file that was read before may set it, or the shell was started with it.
        if files || !found {
            self.hidden(Some(name.to_owned()), UNSET);
        }
    }

    /// `set -a`, `set -euo allexport`, `set +a`
    fn options(&mut self, operands: &[&str]) {
        let mut named = false;
        for word in operands {
            let on = word.starts_with('-') || named && !word.starts_with('+');
            let letters = word.trim_start_matches(['-', '+']);
            let all = if std::mem::take(&mut named) {
                letters == "allexport"
            } else if *word == "--" || letters.len() == word.len() {
                return;
            } else {
                named = letters.contains('o');
                letters.contains('a')
            };
            if named && word.starts_with('+') && operands.contains(&"allexport") {
                self.all_export(false);
                return;
            }
            if all {
                self.all_export(on);
            }
        }
    }

    fn all_export(&mut self, on: bool) {
        let value = if on { "on" } else { OFF };
        self.change(ALL_EXPORTED, Some(SecretBytes::from(value.to_owned())), Some(false));
    }

    pub(super) fn enter(&mut self, operands: &[&str], back: bool) {
        let physical = operands.contains(&"-P");
        let target = operands.iter().find(|word| !word.starts_with('-'));
        let path = match target {
            Some(target) if !back && !target.starts_with('+') => self.path(target),
            // `cd -`, `popd`
            _ if back || operands.contains(&"-") => Err(ELSEWHERE),
            _ => self.path("~"),
        };
        let path = path.ok().map(|path| if physical { path } else { clean(&path) });
        let path = path.and_then(|path| path.into_os_string().into_string().ok());
        self.change(FOLDER, path.map(SecretBytes::from), Some(true));
    }

    /// `((A++))`, `let A=B+1`: each variable that it names may be another afterwards.
    fn arithmetic(&mut self, text: &str) {
        for name in text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            if self.variable(name).is_some() {
                self.unknown(name, false, ADDED);
            }
        }
    }

    /// `: ${NAME:=default}`
    fn default(&mut self, word: &str) {
        let inner = word.trim_matches('"').strip_prefix("${").unwrap_or_default();
        let (name, rest) = inner.split_at_checked(name_length(inner)).unwrap_or_default();
        if (rest.starts_with(":=") || rest.starts_with('='))
            && self.text_of(name).is_none_or(|text| text.is_empty())
        {
            self.unknown(name, false, "it is set only where it was not set before");
        }
    }

    /// The file whose presence `[ -f FILE ]` tests.
    fn tested(&self, name: &str, operands: &[&str]) -> Option<PathBuf> {
        let operands = match name {
            "[" => operands.strip_suffix(&["]"])?,
            "[[" => operands.strip_suffix(&["]]"])?,
            "test" => operands,
            _ => return None,
        };
        match operands {
            ["-f" | "-e" | "-r" | "-s", file] => self.path(file).ok(),
            _ => None,
        }
    }

    /// The words that a substitution prints: `NAME=value` each.
    pub(super) fn words(&mut self, word: &str) {
        match printed(word) {
            Ok(printed) => {
                if let Some(file) = printed.file {
                    self.reads(self.path(file), How::Words, printed.part);
                }
            }
            Err(why) => self.hidden(None, why),
        }
    }
}

/// `{a,b}`, `{1..9}`: the shell makes several words of it.
fn expands_braces(word: &str) -> bool {
    let opens =
        word.match_indices('{').any(|(at, _)| !word.get(..at).is_some_and(|before| before.ends_with('$')));
    opens && !word.contains(['"', '\'']) && (word.contains(',') || word.contains(".."))
}

/// Whether `dotenv` is the program that starts another one, and not the function of direnv.
fn runs_program(operands: &[&str]) -> bool {
    operands.len() > 1 || operands.first().is_some_and(|word| word.starts_with('-') || *word == "run")
}

/// Whether a path is one of the kernel's own; the files of a container are below /proc too.
fn is_of_proc(path: &Path) -> bool {
    path.starts_with("/proc")
        && path.components().nth(ROOT_PARTS - 1).is_none_or(|part| part.as_os_str() != "root")
}
