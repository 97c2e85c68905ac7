//! What a shell's text reads and sets before it starts a program: a script, or the text after `-c`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_copy::Format;
use keyroll_manager::{Variables, home_of};
use keyroll_observe::{InProcess, NotVisible, Process, Rights, image, shown};
use keyroll_secret::SecretBytes;

use super::shell_text::{Around, Step, steps};
use super::source::{Assignment, Origin, Read, Source, word};
use super::start_again::{run_again, run_text_again, start_again};
use super::{dotenv, env_file};
use crate::Place;

const HIDDEN: &str = "its shell sets variables in a way that its text does not show";
const CONDITION: &str = "its script reads it under a condition";

/// A shell that runs a text.
pub(crate) struct Launcher<'p> {
    shell: &'p Process,
    /// Everything that it started.
    started: Vec<u32>,
    program: Option<(&'p Process, &'p Variables)>,
    /// The script; `None` = the text is in the command line.
    script: Option<InProcess>,
    /// The text of the command line.
    text: SecretBytes,
}

impl<'p> Launcher<'p> {
    /// None for an interactive shell.
    pub(crate) fn of(shell: &'p Process) -> Option<Self> {
        let script = image(&shell.id).ok().and_then(|image| image.script);
        if let Some(script) = script.filter(|script| script.here.is_file()) {
            return Some(Self { script: Some(script), ..Self::without_text(shell) });
        }
        Some(Self { text: command_text(shell)?, ..Self::without_text(shell) })
    }

    fn without_text(shell: &'p Process) -> Self {
        Self { shell, started: Vec::new(), program: None, script: None, text: SecretBytes::new(Vec::new()) }
    }

    /// With everything that the shell has started.
    pub(crate) fn with_started(self, started: Vec<u32>) -> Self {
        Self { started, ..self }
    }

    /// The launcher of this program, which was started with `own`.
    pub(crate) fn starting(self, program: &'p Process, own: &'p Variables) -> Self {
        Self { program: Some((program, own)), ..self }
    }

    /// The files that it reads and the variables that it sets, the last one first; and why there may be more. They are
    /// read with the shell's rights. `own` is what its program was started with, if that is visible.
    pub(crate) fn sources(&self, own: Option<&Variables>) -> (Vec<Source>, Option<&'static str>) {
        let Some(folder) = dotenv::here(&self.shell.id) else { return (Vec::new(), Some(HIDDEN)) };
        let rights = Rights::of_process(&self.shell.id);
        match rights.and_then(|rights| rights.reading(|| self.read(&folder, own))) {
            Ok(read) => read,
            Err(NotVisible::Vanished) => (Vec::new(), None),
            Err(_) => {
                let path = self.script.as_ref().map(|script| script.here.clone()).unwrap_or_default();
                let what = format!("what {} reads", self.called());
                (vec![Source::of_file(what, &path).closed(dotenv::NO_RIGHTS)], Some(HIDDEN))
            }
        }
    }

    fn read(&self, folder: &Path, own: Option<&Variables>) -> (Vec<Source>, Option<&'static str>) {
        let of_script = match &self.script {
            Some(script) => match env_file::read(&script.here) {
                Ok(text) => Some(text),
                Err(_) => return (Vec::new(), Some(HIDDEN)),
            },
            None => None,
        };
        let text = of_script.as_ref().unwrap_or(&self.text);
        let home = self.shell.uid.and_then(home_of);
        let around = Around {
            folder,
            script: self.script.as_ref().map(|script| script.here.as_path()),
            home: home.as_deref(),
        };
        let (mut all, mut hidden, mut perhaps) = (Vec::new(), None, false);
        // A program gets what the shell does not export only if the shell was given it: its own start shows that.
        let gets = |name: &String| own.is_none_or(|own| own.contains_key(name));
        let steps = steps(&String::from_utf8_lossy(text.expose()), &around);
        let only = matches!(steps.as_slice(), [Step::Reads { .. }]);
        for step in steps {
            match step {
                Step::Reads { path, perhaps: may, exported, .. } => {
                    let what = format!("{} as {} reads it", shown(&path), self.called());
                    let again = self.again(Some(path.as_path()).filter(|_| only));
                    let mut source = env_file::optional(what, &path).applied_by(again);
                    source.entries.retain(|name, _| exported || gets(name));
                    perhaps |= may && !source.says_nothing();
                    all.push(source);
                }
                Step::Sets { name, value, line, perhaps: may, exported } => {
                    if !exported && !gets(&name) {
                        continue;
                    }
                    perhaps |= may;
                    let source = Source::new(format!("what {} sets", self.called()), self.origin());
                    all.push(source.with(name, Assignment::at(line, value)).applied_by(self.again(None)));
                }
                Step::Hidden { name: Some(name), line, why } => {
                    let source = Source::new(format!("what {} sets", self.called()), self.origin());
                    all.push(source.with(name, Assignment::not_told(line, why)));
                }
                Step::Hidden { name: None, why, .. } => hidden = Some(why),
            }
        }
        all.retain(|source| !source.says_nothing());
        all.reverse();
        (if perhaps { chosen(all) } else { all }, hidden)
    }

    fn origin(&self) -> Origin {
        match &self.script {
            Some(script) => Origin::File(script.here.clone()),
            None => Origin::At(Place::Arguments { process: self.shell.id }),
        }
    }

    fn called(&self) -> String {
        match &self.script {
            Some(script) => shown(&script.path),
            None => format!("the command of shell {}", self.shell.id.pid),
        }
    }

    /// What starts the program again. `file` = the text only reads this file and starts the program.
    fn again(&self, file: Option<&Path>) -> String {
        let pid = self.shell.id.pid;
        match &self.script {
            Some(script) => run_again(self.shell, &script.path, &self.started).unwrap_or_else(|| {
                format!("kill {pid} and what it started, then {} once more", word(shown(&script.path)))
            }),
            None => {
                let program = self.program.filter(|_| file.is_some());
                let again =
                    program.and_then(|(program, own)| start_again(program, own, Some(self.shell), file));
                let text = || run_text_again(self.shell, self.text.expose(), &self.started);
                again.or_else(text).unwrap_or_else(|| {
                    format!("kill {pid} and what it started, then the same command once more")
                })
            }
        }
    }
}

/// The text after `-c`, or after a cluster of options with a `c`.
fn command_text(shell: &Process) -> Option<SecretBytes> {
    let (mut next, mut found) = (false, None);
    shell.args.any(|word| {
        if next {
            found = Some(SecretBytes::new(word.to_vec()));
            return true;
        }
        let short = word.strip_prefix(b"-").unwrap_or_default();
        next = short.contains(&b'c') && short.iter().all(u8::is_ascii_alphabetic);
        // A script, or what it is given.
        !word.starts_with(b"-") && !word.starts_with(b"+")
    });
    found
}

/// The files that a script reads under a condition. Which of them it reads is not visible here: if they give one name
/// different values, nothing wins.
fn chosen(all: Vec<Source>) -> Vec<Source> {
    let differs = |name: &String| {
        let mut given =
            all.iter().filter_map(|source| source.entries.get(name)).map(|entry| entry.value.as_ref().ok());
        given.next().is_some_and(|first| given.any(|other| other != first))
    };
    let names: BTreeSet<String> =
        all.iter().flat_map(|source| source.entries.keys()).filter(|name| differs(name)).cloned().collect();
    let apart = |mut source: Source| {
        let (mine, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut source.entries).into_iter().partition(|(name, _)| names.contains(name));
        let perhaps = source.part(mine).read(Read::Perhaps(CONDITION));
        [Source { missing: false, ..perhaps }, Source { entries: rest, ..source }]
    };
    let mut all: Vec<Source> =
        all.into_iter().flat_map(apart).filter(|source| !source.says_nothing()).collect();
    // The missing file may be the one that the script reads.
    all.sort_by_key(|source| !source.missing);
    all
}

/// What a file of variables, or a shell text that sets some (`.bashrc`, `.envrc`, `secrets.sh`), gives each name: the last
/// literal value.
pub(crate) fn assignments(path: &Path) -> Variables {
    let Ok(text) = env_file::read(path) else { return Variables::new() };
    let Ok(read) = Format::Dotenv.variables(text.expose()) else { return as_shell_text(&text, path) };
    let (mut all, mut doubtful) = (Variables::new(), Vec::new());
    for (name, value) in read {
        match value {
            Ok(value) => drop(all.insert(name, value)),
            Err(_) => doubtful.push(name),
        }
    }
    if !doubtful.is_empty() {
        let shell = as_shell_text(&text, path).into_iter();
        all.extend(shell.filter(|(name, _)| doubtful.contains(name)));
    }
    all
}

/// Whether a shell that sources a file gives each name the value that a library reads there.
pub(crate) fn is_same_for_shells(path: &Path) -> bool {
    let Ok(text) = env_file::read(path) else { return false };
    let shell = as_shell_text(&text, path);
    let same = |(name, value): &(String, Result<SecretBytes, _>)| match value {
        Ok(value) => shell.get(name) == Some(value),
        // Readers differ, and a shell may compute it.
        Err(_) => false,
    };
    Format::Dotenv.variables(text.expose()).map_or(true, |all| all.iter().all(same))
}

fn as_shell_text(text: &SecretBytes, path: &Path) -> Variables {
    let folder = path.parent().unwrap_or(path);
    let around = Around { folder, script: Some(path), home: None };
    let mut all = Variables::new();
    for step in steps(&String::from_utf8_lossy(text.expose()), &around) {
        match step {
            Step::Sets { name, value, perhaps: false, .. } => drop(all.insert(name, value)),
            Step::Sets { name, .. } | Step::Hidden { name: Some(name), .. } => drop(all.remove(&name)),
            Step::Hidden { name: None, .. } | Step::Reads { .. } => {}
        }
    }
    all
}
