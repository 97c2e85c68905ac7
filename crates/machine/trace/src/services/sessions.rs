use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_manager::{Variables, home_of};
use keyroll_observe::{Process, ProcessId, Rights, called, shown};
use keyroll_secret::SecretBytes;

use super::assignments::assignments;
use super::context::Context;
use super::launcher::Launcher;
use super::source::{Assignment, Kept, Origin, Read, Source};
use super::{cron, dotenv, env_file};
use crate::chain::ON_THE_WAY;
use crate::wrapping::is_same;
use crate::{Basis, ManagedBy, is_left_behind};

/// The files that shells read when they start, below a home folder and for every user. Source: bash(1), zsh(1),
/// pam_env(8).
const PROFILES: [&str; 6] = [".profile", ".bash_profile", ".bashrc", ".zshenv", ".zprofile", ".zshrc"];
const PROFILES_OF_ALL: [&str; 3] = ["/etc/environment", "/etc/profile", "/etc/bash.bashrc"];

/// The most files of one folder that are compared with what a program was started with.
const FILES_MAX: usize = 64;

/// Why the next start's environment is unknown for a process that no known manager starts.
const GONE: &str = "the process that started it no longer runs";
const SAME: &str = "it holds the same value, and nothing was seen to read it";
const OTHER: &str = "whether its start reads this file is not visible";
const UNCONFIRMED: &str =
    "whether the shell has exported it is known once its memory is searched, and only of bash";

/// Processes that no manager runs: each one that was started by a shell or by an unknown parent, with its workers.
pub(crate) fn kept(context: &mut Context<'_>, taken: &BTreeSet<ProcessId>) -> Vec<Kept> {
    let left: BTreeMap<u32, &Process> = context
        .listing
        .seen
        .iter()
        .filter(|one| !taken.contains(&one.id))
        .map(|one| (one.id.pid, one))
        .collect();
    let begins = |one: &Process| {
        let parent = left.get(&one.ppid);
        one.ppid <= 1
            || is_shell(one)
            || parent.is_none_or(|parent| is_shell(parent) || cron::is_daemon(parent) && !one.forked)
    };
    let roots: Vec<&Process> = left.values().filter(|one| begins(one)).copied().collect();
    // The profiles of one user are the same for every process that the user started.
    let mut read: BTreeMap<Option<u32>, Vec<Source>> = BTreeMap::new();
    let mut all = Vec::new();
    for root in roots {
        let (mut processes, mut at) = (vec![root.id], 0);
        while let Some(parent) = processes.get(at).copied() {
            let children = context.children(parent.pid).iter().filter(|one| left.contains_key(&one.id.pid));
            processes.extend(children.filter(|one| !begins(one)).map(|one| one.id));
            at += 1;
        }
        // A shell without a living parent was started by a login elsewhere.
        let shell = context.process(root.ppid).filter(|parent| is_shell(parent));
        let start = context.start(&root.id);
        if start.is_none() && shell.is_none() {
            continue;
        }
        let hidden = start.is_none();
        let own = &start.unwrap_or_default();
        let sources = match shell {
            Some(shell) if hidden => of_hidden(context, root, shell),
            Some(shell) => of_shell(context, root, own, shell),
            None if is_shell(root) => of_itself(context, root, own),
            None => of_nobody(context, root, &processes, own),
        };
        let in_session = shell.is_some() || is_shell(root);
        let managed_by = if in_session { ManagedBy::Session } else { ManagedBy::Unmanaged };
        let mut sources: Vec<Source> = sources;
        // Only secrets need an origin, and most processes hold none.
        let holds = own.iter().any(|(name, value)| context.is_secret(name, value));
        if in_session && holds {
            let profiles =
                read.entry(root.uid).or_insert_with(|| profiles(context, root.uid.and_then(home_of)));
            sources.extend(profiles.iter().map(Source::duplicate));
        }
        sources.retain(|source| !source.says_nothing());
        let name = format!("{} {}", called(root), root.id.pid);
        all.push(Kept { main: Some(root.id), sources, ..Kept::untold(managed_by, name, processes) });
    }
    all
}

pub(super) fn is_shell(process: &Process) -> bool {
    keyroll_observe::runs_shell(process)
}

/// The environment that a process was started with, as a source.
fn given(process: &Process, own: &Variables) -> Source {
    let copied = own.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect();
    Source::new(format!("what process {} was started with", process.id.pid), Origin::Start(process.id))
        .holding(copied)
}

/// The sources of a shell's child: what the shell's text says, or the shell's exports, which it was started with or has
/// set since.
fn of_shell(context: &Context<'_>, root: &Process, own: &Variables, shell: &Process) -> Vec<Source> {
    let exports = context.start(&shell.id);
    let exports = exports.as_ref();
    let pid = shell.id.pid;
    // With another value the program did not get it from the shell, whose environment at its start never changes.
    let same = |name: &str, value: &SecretBytes| own.get(name).is_some_and(|given| is_same(given, value));
    let copied = exports.into_iter().flatten().filter(|(name, value)| same(name, value));
    let copied = copied.map(|(name, value)| (name.clone(), value.duplicate())).collect();
    let began = Source::new(format!("what shell {pid} exports since it began"), Origin::Start(shell.id));
    let edit = "an edit of the file that the shell has read";
    let began = began.holding(copied).applied_by("a new shell, and a start from it").not_by(edit);
    if let Some(launcher) = Launcher::of(shell) {
        let (mut all, hidden) = launcher.sources(context, Some(own));
        all.push(began);
        let told = |name: &str| all.iter().any(|source| source.entries.contains_key(name));
        let mut rest = given(root, own);
        let passed_on = rest.set_aside(|name, _| hidden.is_none() && told(name));
        // What the text does not show.
        all.extend([rest.read(Read::Perhaps(hidden.unwrap_or(ON_THE_WAY))), passed_on]);
        return all;
    }
    let mut since = given(root, own).read(Read::Perhaps(UNCONFIRMED));
    since.basis = Basis::Exported(shell.id);
    since.what = format!("what shell {pid} has exported since it began");
    since.entries.retain(|name, _| !began.entries.contains_key(name));
    let export = format!("in shell {pid}: export the new value, end the program, and start it there again");
    vec![since.applied_by(export).not_by(edit), began]
}

/// The files that a shell's text reads, and the variables that it sets.
fn of_text(context: &Context<'_>, shell: &Process) -> Vec<Source> {
    Launcher::of(shell).map(|launcher| launcher.sources(context, None).0).unwrap_or_default()
}

/// The sources of a shell: what it was started with, and what its text reads.
fn of_itself(context: &Context<'_>, shell: &Process, own: &Variables) -> Vec<Source> {
    let mut all = of_text(context, shell);
    all.push(given(shell, own));
    all
}

/// The sources of a shell's child whose start is not visible or was overwritten: the files that the shell's text reads.
fn of_hidden(context: &Context<'_>, root: &Process, shell: &Process) -> Vec<Source> {
    let mut all = of_text(context, shell);
    all.push(given(root, &Variables::new()).closed("it is hidden, or the process wrote over it"));
    all
}

/// The sources of a process whose starter has ended or is not a shell: nothing shows where the next start takes a
/// variable from. A file in its folder with exactly the values that it was started with may be the source, or a copy
/// that nobody reads.
fn of_nobody(context: &Context<'_>, root: &Process, processes: &[ProcessId], own: &Variables) -> Vec<Source> {
    let mut all = Vec::new();
    let mut read = dotenv::sources(context, root, processes);
    dotenv::add_commands(context, root, &mut read);
    let holds = own.iter().any(|(name, value)| context.is_secret(name, value));
    let path = dotenv::here(&root.id).filter(|_| holds);
    let beside = |folder: PathBuf| {
        let files = env_files(&folder).into_iter();
        let files = files.filter(|path| !read.iter().any(|(source, _)| dotenv::is_file(source, path)));
        files.map(|path| env_file::source(shown(&path), &path)).collect::<Vec<Source>>()
    };
    // If its rights cannot be taken, the sources of a library report that already.
    let rights = Rights::of_process(&root.id).ok();
    let found = path.zip(rights).and_then(|(folder, rights)| rights.reading(|| beside(folder)).ok());
    for source in found.into_iter().flatten() {
        all.extend(split(source, own));
    }
    let (over, mut fills): (Vec<_>, Vec<_>) = read.into_iter().partition(|(_, overrides)| *overrides);
    let overrides = !over.is_empty();
    over.into_iter().for_each(|(source, _)| all.insert(0, source));
    for (source, _) in fills.iter_mut().filter(|(source, _)| source.read != Read::Start) {
        all.extend(holding(source, own).map(|same| same.read(Read::Perhaps(SAME))));
    }
    if !fills.is_empty() && !overrides {
        let named = |name: &String| fills.iter().any(|(source, _)| source.entries.contains_key(name));
        let mut environment = given(root, own).read(Read::Perhaps(GONE));
        // The environment wins, but who sets it at the next start, and to which value, is unknown.
        environment.entries.retain(|name, _| named(name));
        all.push(environment);
    }
    all.extend(fills.into_iter().map(|(source, _)| source));
    // For a name that the file lacks, the environment decides, and it may change.
    all.push(given(root, own).read(if overrides { Read::Perhaps(GONE) } else { Read::Not }));
    all
}

/// Splits a file of variables in the folder of a program. Only names that the program was started with count; those
/// with the same value come apart from the others.
fn split(source: Source, own: &Variables) -> [Source; 2] {
    let mut other = source;
    other.closed = None;
    let same = holding(&mut other, own).unwrap_or_else(|| other.part(BTreeMap::new()));
    other.entries.retain(|name, _| own.contains_key(name));
    [(other, OTHER), (same, SAME)].map(|(source, why)| source.read(Read::Perhaps(why)))
}

/// Removes from a source the entries with exactly the values that a process was started with, and returns them.
fn holding(source: &mut Source, own: &Variables) -> Option<Source> {
    let same = source.set_aside(|name, entry| {
        own.get(name).is_some_and(|value| entry.value.as_ref().is_ok_and(|own| is_same(own, value)))
    });
    (!same.entries.is_empty()).then_some(same)
}

/// Files of variables in a folder: `api.env`, `.env.production`.
fn env_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('.').any(|part| part == "env") && !is_left_behind(path)
    };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(named).take(FILES_MAX).collect();
    all.sort();
    all
}

/// The files that a shell reads when it starts; a running shell has its own copy of the variables.
fn profiles(context: &mut Context<'_>, home: Option<PathBuf>) -> Vec<Source> {
    let source = |path: PathBuf| {
        let source = of_profile(&path).read(Read::Not);
        source.applied_by("a new login, and a start from it").not_by("the edit alone")
    };
    let own = |home: PathBuf| {
        let files = PROFILES.map(|name| home.join(name));
        context.in_home(&home, move |_| files.into_iter().map(source).collect::<Vec<_>>())
    };
    let mut all = home.map(own).unwrap_or_default();
    all.extend(PROFILES_OF_ALL.iter().map(PathBuf::from).map(source));
    all
}

/// A profile may be a text of a shell: then each name has the last literal value that it gets there.
fn of_profile(path: &Path) -> Source {
    let mut source = env_file::source(shown(path), path);
    let mut read = Variables::new();
    if source.entries.values().any(|entry| entry.value.is_err()) {
        read = assignments(path);
    }
    for (name, entry) in source.entries.iter_mut().filter(|(_, entry)| entry.value.is_err()) {
        if let Some(value) = read.remove(name) {
            *entry = Assignment::at(entry.line, value);
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::super::context::tests::{UserProcess, alone, home_with_links};
    use super::*;

    /// Whether the source of this file has the variable.
    fn holds(read: &[Source], name: &str) -> bool {
        let mut of = read.iter().filter(|source| source.what.ends_with(&format!("/{name}")));
        of.any(|source| source.value("A_API_KEY").is_some())
    }

    #[test]
    fn a_profile_behind_a_link_is_read_where_its_user_could_read_it() {
        let Some(home) = home_with_links("A_API_KEY=there\n", [".profile", ".bashrc"]) else { return };
        let read = alone(|context| profiles(context, Some(home.path().to_owned())));
        assert_eq!([".profile", ".bashrc"].map(|name| holds(&read, name)), [true, false]);
    }

    #[test]
    fn a_file_beside_a_program_is_read_where_its_user_could_read_it() {
        let Some(home) = home_with_links("A_API_KEY=there\n", ["own.env", "roots.env"]) else { return };
        let (program, value) = (UserProcess::start(home.path()), SecretBytes::from(alphanumeric(40)));
        let own = Variables::from([("A_API_KEY".to_owned(), value)]);
        let read = alone(|context| of_nobody(context, &program.process(), &[program.process().id], &own));
        assert_eq!(["own.env", "roots.env"].map(|name| holds(&read, name)), [true, false]);
    }
}
