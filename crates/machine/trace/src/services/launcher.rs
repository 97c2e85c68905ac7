//! What a shell's text reads and sets before it starts a program: a script, or the text after `-c`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_copy::DotenvReader;
use keyroll_manager::{Variables, home_of};
use keyroll_observe::{InProcess, NotVisible, Process, Rights, has_other_files, shown};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::shell_command::ShellCommand;
use super::shell_text::{Around, Step, steps};
use super::source::{Assignment, Origin, Read, Source};
use super::start_again::{Reads, start_again};
use super::{dotenv, env_file};
use crate::Place;

const AGAIN: &str = "the shell once more";
const HIDDEN: &str = "its shell sets variables in a way that its text does not show";
const CONDITION: &str = "its script reads it under a condition";

/// A shell that runs a text.
pub(crate) struct Launcher<'p> {
    shell: &'p Process,
    /// The script; `None` = the text is in the command line.
    script: Option<InProcess>,
    /// The text of the command line.
    text: SecretBytes,
}

impl<'p> Launcher<'p> {
    /// None for an interactive shell.
    pub(crate) fn of(shell: &'p Process) -> Option<Self> {
        let (script, text) = match ShellCommand::of(shell)? {
            ShellCommand::Script(script) => (Some(script), SecretBytes::new(Vec::new())),
            ShellCommand::Text(text) => (None, text),
        };
        Some(Self { shell, script, text })
    }

    /// The files that it reads and the variables that it sets, the last one first; and why there may be more. They are
    /// read with the shell's rights. `own` is what its program was started with, if that is visible.
    pub(crate) fn sources(
        &self,
        context: &Context<'_>,
        own: Option<&Variables>,
    ) -> (Vec<Source>, Option<&'static str>) {
        let (mut all, hidden) = self.as_shell(own);
        let moved = |source: &&mut Source| source.applies.is_some();
        if all.iter().any(|source| source.applies.is_some()) {
            // The command of the shell's user is made with keyroll's own rights.
            let again = start_again(context.listing, &|id| context.start(id), self.shell, Reads::Itself);
            all.iter_mut().filter(moved).for_each(|source| source.applies = Some(again.clone()));
        }
        (all, hidden)
    }

    /// The same, read with the shell's rights. `AGAIN` stands for what starts everything again.
    fn as_shell(&self, own: Option<&Variables>) -> (Vec<Source>, Option<&'static str>) {
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
        // The path that its own text can compare.
        let path = self.script.as_ref().map(|script| self.path(script));
        let around = Around { folder, script: path.as_deref(), home: home.as_deref() };
        let (mut all, mut hidden, mut perhaps) = (Vec::new(), None, false);
        // A program gets what the shell does not export only if the shell was given it: its own start shows that.
        let gets = |name: &String| own.is_none_or(|own| own.contains_key(name));
        let steps = steps(&String::from_utf8_lossy(text.expose()), &around);
        for step in steps {
            match step {
                Step::Reads { path, perhaps: may, exported, .. } => {
                    let what = format!("{} as {} reads it", shown(&path), self.called());
                    let mut source = env_file::optional(what, &path, DotenvReader::Sh).applied_by(AGAIN);
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
                    all.push(source.with(name, Assignment::at(line, value)).applied_by(AGAIN));
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
            Some(script) => Origin::File(self.path(script)),
            None => Origin::At(Place::Arguments { process: self.shell.id }),
        }
    }

    /// The script's own path, unless the shell has other files.
    fn path(&self, script: &InProcess) -> PathBuf {
        let elsewhere = has_other_files(&self.shell.id).unwrap_or(true);
        if elsewhere { script.here.clone() } else { script.path.clone() }
    }

    fn called(&self) -> String {
        match &self.script {
            Some(script) => shown(&script.path),
            None => format!("the command of shell {}", self.shell.id.pid),
        }
    }
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
