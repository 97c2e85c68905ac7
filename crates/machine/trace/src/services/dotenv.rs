use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_copy::DotenvReader;
use keyroll_observe::{
    NotVisible, Process, ProcessId, Rights, has_other_files, image, runs_shell, shown, working_folder,
};

use super::context::Context;
use super::dotenv_calls::{Call, Which, calls};
use super::env_file;
use super::shell_command::is_interactive;
use super::source::{Kept, Origin, Read, Source};
use super::start_again::{Reads, own_names, start_again};
use crate::ManagedBy;

/// The file that libraries read by default.
const NAME: &str = ".env";

/// Where a program's libraries are.
const LIBRARIES: [&str; 1] = ["node_modules/dotenv"];
const PYTHON: [&str; 2] = ["venv", ".venv"];

/// The most files of a program that are searched for a call.
const TEXTS_MAX: usize = 64;

/// The most programs that a service started, and modules that one names.
const PROGRAMS_MAX: usize = 8;

/// The most parent folders that are searched.
const ABOVE_MAX: usize = 32;

/// How many components `/proc/PID/root` has.
const ROOT_PARTS: usize = 4;

const COMPUTED: &str = "the program computes which file it reads";
const LIES_THERE: &str = "a library that reads it lies beside the program, and nothing shows that it is used";
const NOT_SEEN: &str = "nothing shows whether the program reads it";

const EXPANDED: &str =
    "dotenv of npm takes a `$` as it is written, and Next, Vite and dotenv-expand replace it by a variable";

/// Why a file is not read for a process.
pub(crate) const NO_RIGHTS: &str = "keyroll cannot take on the rights of its process";

/// Adds the files that a library reads for a service's program. The library reads them after the start and keeps
/// variables that the environment already has, unless the call says to override them.
pub(crate) fn add(context: &Context<'_>, kept: &mut Kept) {
    // A process whose starter is unknown has them among its sources already.
    let (Some(main), false) = (kept.main, kept.managed_by == ManagedBy::Unmanaged) else { return };
    let Some(main) = context.process(main.pid).filter(|main| !is_interactive(main)) else { return };
    let restart = kept.declaration.as_ref().and_then(|one| one.restart.clone());
    let mut read = sources(context, main, &kept.processes);
    match restart {
        Some(restart) => read.iter_mut().for_each(|(source, _)| source.applies = Some(restart.clone())),
        None => add_commands(context, main, &mut read),
    }
    for (source, overrides) in read {
        let at = if overrides { 0 } else { kept.sources.len() };
        kept.sources.insert(at, source);
    }
}

/// The files that a library reads for a service, in the order of its calls, each with whether it overrides everything
/// before it: for its first process, and for programs that this one started (`npm start`).
pub(crate) fn sources(context: &Context<'_>, main: &Process, processes: &[ProcessId]) -> Vec<(Source, bool)> {
    let mut all = of_process(context, &main.id);
    let started = processes.iter().filter(|id| **id != main.id).filter_map(|id| context.process(id.pid));
    for one in started.filter(|one| !one.forked && !runs_shell(one)).take(PROGRAMS_MAX) {
        for (source, overrides) in of_process(context, &one.id) {
            let known = all.iter().position(|(known, _)| match &source.origin {
                Origin::File(path) => is_file(known, path),
                Origin::Start(_) | Origin::Kept(..) | Origin::At(_) | Origin::Nowhere => false,
            });
            match known.and_then(|at| all.get_mut(at)) {
                // It was seen to be read by one of them.
                Some(known) if known.0.read != Read::Start => *known = (source, overrides),
                Some(_) => {}
                None => all.push((source, overrides)),
            }
        }
    }
    all
}

/// Adds what starts a program without a manager again to the files that it reads.
pub(crate) fn add_commands(context: &Context<'_>, main: &Process, read: &mut [(Source, bool)]) {
    if read.is_empty() {
        return;
    }
    let again = start_again(context.listing, &|id| context.start(id), main, Reads::Itself);
    let (own, here) = (context.start(&main.id).unwrap_or_default(), own_names());
    for (source, overrides) in read.iter_mut() {
        // What the operator exports would win over the file.
        let wins = |name: &&String| here.contains(*name) && !own.contains_key(*name) && !*overrides;
        let exported = source.entries.keys().find(wins).map(|name| {
            let pid = main.id.pid;
            format!("end process {pid}, then start it again from a shell that does not export {name}")
        });
        // A library keeps what the program is started with: whatever set it would set it again.
        let stays =
            |name: &String| own.get(name).is_some_and(|value| !*overrides && context.is_secret(name, value));
        let moves = source.read_later && !source.entries.keys().any(stays);
        source.applies = exported.or_else(|| moves.then(|| again.clone()));
    }
}

/// The files of one process. They are read with its rights, as the library reads them.
fn of_process(context: &Context<'_>, process: &ProcessId) -> Vec<(Source, bool)> {
    let Some(folder) = here(process) else { return Vec::new() };
    // Looked up before the rights are taken: the process's user may not be allowed to look it up.
    let elsewhere = has_other_files(process).unwrap_or(true);
    let script = image(process).ok().and_then(|image| image.script);
    let script = script.map(|script| if elsewhere { script.here } else { script.path });
    let (named, modules) = (by_arguments(context, process), modules(context, process));
    let rights = Rights::of_process(process);
    let library = context.process(process.pid).and_then(library_of);
    let read = || {
        let modules = modules.iter().filter_map(|name| of_module(&folder, name));
        let scripts: Vec<PathBuf> = script.into_iter().chain(modules).collect();
        read_all(files(named, &scripts, &folder), library)
    };
    match rights.and_then(|rights| rights.reading(read)) {
        Ok(all) => all,
        Err(NotVisible::Vanished) => Vec::new(),
        Err(_) => {
            let path = folder.join(NAME);
            let source = Source::of_file(shown(&path), &path).closed(NO_RIGHTS);
            vec![(source.read(Read::Perhaps(NOT_SEEN)), false)]
        }
    }
}

/// The library that reads files of variables for a program, by its interpreter.
fn library_of(process: &Process) -> Option<DotenvReader> {
    let name = process.exe.as_deref()?.file_name()?.to_string_lossy();
    let readers =
        [("python", DotenvReader::Python), ("node", DotenvReader::Npm), ("ruby", DotenvReader::Ruby)];
    readers.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, reader)| *reader)
}

fn read_all(
    files: Vec<(PathBuf, Result<Call, &'static str>)>,
    library: Option<DotenvReader>,
) -> Vec<(Source, bool)> {
    let read = |path: &Path| match library {
        Some(DotenvReader::Npm) => {
            without_dollars(env_file::source_for(shown(path), path, DotenvReader::Npm))
        }
        Some(reader) => env_file::source_for(shown(path), path, reader),
        None => env_file::source(shown(path), path),
    };
    let mut all: Vec<(Source, bool)> = Vec::new();
    for (path, call) in files {
        let source = Source { read_later: true, ..read(&path) };
        if source.says_nothing() || all.iter().any(|(known, _)| is_file(known, &path)) {
            continue;
        }
        let (read, overrides) = match call {
            Ok(Call { which: Which::Computed, .. }) => (Read::Perhaps(COMPUTED), false),
            Ok(call) => (Read::Start, call.overrides),
            Err(why) => (Read::Perhaps(why), false),
        };
        all.push((source.read(read), overrides));
    }
    all
}

/// Which library of node reads a file is not known. Some expand what dotenv read, whatever quotes it had: a value with
/// a `$` is doubtful.
fn without_dollars(mut source: Source) -> Source {
    for entry in source.entries.values_mut() {
        if entry.value.as_ref().is_ok_and(|value| value.expose().contains(&b'$')) {
            entry.value = Err(EXPANDED);
        }
    }
    source
}

/// The files, each with the call that reads it; or why they are unknown.
fn files(
    named: Vec<String>,
    scripts: &[PathBuf],
    folder: &Path,
) -> Vec<(PathBuf, Result<Call, &'static str>)> {
    let mut all = Vec::new();
    for name in named {
        let call = Call { which: Which::Named(name.clone()), overrides: false };
        all.push((inside(folder, &name), Ok(call)));
    }
    let texts = scripts.iter().flat_map(|script| texts(script, folder));
    for (text, call) in texts {
        let beside = text.parent().unwrap_or(folder);
        let path = match &call.which {
            Which::Named(name) => Some(inside(folder, name)),
            Which::Above(name) => above(beside, name),
            Which::AboveHere(name) => above(folder, name),
            Which::Here => Some(folder.join(NAME)),
            Which::Computed => above(beside, NAME).or_else(|| above(folder, NAME)),
        };
        all.extend(path.map(|path| (path, Ok(call))));
    }
    if all.is_empty() {
        let lies = LIBRARIES.iter().any(|library| folder.join(library).is_dir()) || python_library(folder);
        all.push((folder.join(NAME), Err(if lies { LIES_THERE } else { NOT_SEEN })));
    }
    all
}

/// The Python modules that a command line names: `app:app` of a server, `shop.main` behind `-m`, `shop` behind `-A`.
fn modules(context: &Context<'_>, process: &ProcessId) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), false);
    let Some(process) = context.process(process.pid) else { return all };
    let is_name = |name: &str| {
        let part = |part: &str| part.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        !name.is_empty() && name.split('.').all(|one| !one.is_empty() && part(one))
    };
    process.args.any(|word| {
        let text = std::str::from_utf8(word).unwrap_or_default();
        let (name, object) = text.split_once(':').unwrap_or((text, ""));
        if (std::mem::take(&mut next) || is_name(object)) && is_name(name) && all.len() < PROGRAMS_MAX {
            all.push(name.to_owned());
        }
        next = matches!(word, b"-m" | b"-A");
        false
    });
    all
}

/// The file of a module.
fn of_module(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name.replace('.', "/"));
    let files = [path.with_extension("py"), path.join("__main__.py"), path.join("__init__.py")];
    files.into_iter().find(|file| file.is_file())
}

/// `--env-file=PATH`, as node, uvicorn and others take it, and `-r dotenv/config` of node.
fn by_arguments(context: &Context<'_>, process: &ProcessId) -> Vec<String> {
    let (mut all, mut next, mut loads) = (Vec::new(), false, false);
    let Some(process) = context.process(process.pid) else { return all };
    process.args.any(|word| {
        let text = || String::from_utf8_lossy(word).into_owned();
        if std::mem::take(&mut next) {
            all.push(text());
        }
        // Source: github.com/motdotla/dotenv, "Preload".
        let preloads = std::mem::take(&mut loads) && word == b"dotenv/config";
        loads = matches!(word, b"-r" | b"--require" | b"--import");
        if preloads || matches!(word, b"--require=dotenv/config" | b"--import=dotenv/config") {
            all.push(NAME.to_owned());
        }
        next = matches!(word, b"--env-file" | b"--env-file-if-exists");
        let named = [&b"--env-file="[..], b"--env-file-if-exists="];
        let path = named.iter().find_map(|option| word.strip_prefix(*option));
        all.extend(path.map(|path| String::from_utf8_lossy(path).into_owned()));
        false
    });
    all
}

/// The calls in a script. If it has none and a file exists that a call may mean, the calls in the texts beside it.
fn texts(script: &Path, folder: &Path) -> Vec<(PathBuf, Call)> {
    let python = script.extension() == Some("py".as_ref());
    let of = |path: &Path| -> Vec<(PathBuf, Call)> {
        let Ok(text) = env_file::read(path) else { return Vec::new() };
        let text = String::from_utf8_lossy(text.expose()).into_owned();
        calls(&text, python).into_iter().map(|call| (path.to_owned(), call)).collect()
    };
    let own = of(script);
    let beside = script.parent().unwrap_or(folder);
    if !own.is_empty() || (above(beside, NAME).is_none() && above(folder, NAME).is_none()) {
        return own;
    }
    let entries = std::fs::read_dir(beside).into_iter().flatten().flatten().map(|entry| entry.path());
    let alike = |path: &PathBuf| {
        path != script && path.extension().is_some() && path.extension() == script.extension()
    };
    let mut others: Vec<PathBuf> = entries.filter(alike).take(TEXTS_MAX).collect();
    others.sort();
    loaded(script, others).iter().flat_map(|path| of(path)).collect()
}

/// Of the texts beside a script those that it loads, by their names in it or in one that it loads.
fn loaded(script: &Path, others: Vec<PathBuf>) -> Vec<PathBuf> {
    let text =
        |path: &Path| env_file::read(path).map(|text| String::from_utf8_lossy(text.expose()).into_owned());
    let (mut all, mut left) = (Vec::new(), others);
    let mut texts: Vec<String> = text(script).into_iter().collect();
    while let Some(known) = texts.pop() {
        let loads = |line: &&str| {
            let line = line.trim_start();
            let says =
                ["import", "require", "from ", "include", "load"].iter().any(|word| line.contains(word));
            says && !line.starts_with('#') && !line.starts_with("//") && !line.starts_with('*')
        };
        let lines = known.lines().filter(loads);
        let words: BTreeSet<&str> = lines
            .flat_map(|line| {
                line.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-'))
            })
            .collect();
        let named = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            stem == "__init__" || words.contains(stem)
        };
        let (found, rest): (Vec<PathBuf>, Vec<PathBuf>) = left.into_iter().partition(named);
        texts.extend(found.iter().filter_map(|path| text(path).ok()));
        all.extend(found);
        left = rest;
    }
    all.sort();
    all
}

/// A path of a process as a path of this machine; `folder` is its working folder.
fn inside(folder: &Path, name: &str) -> PathBuf {
    let name = name.strip_prefix("./").unwrap_or(name);
    let mut root = folder.components();
    match (root.by_ref().take(ROOT_PARTS).collect::<PathBuf>(), Path::new(name).strip_prefix("/")) {
        // The files of a container.
        (root, Ok(rest)) if root.starts_with("/proc") && root.ends_with("root") => root.join(rest),
        (_, _) => folder.join(name),
    }
}

/// The first file of a name in a folder or above it; for a container not above its own root.
fn above(folder: &Path, name: &str) -> Option<PathBuf> {
    let own = |folder: &&Path| !folder.starts_with("/proc") || folder.components().count() >= ROOT_PARTS;
    let folders = folder.ancestors().take_while(own).take(ABOVE_MAX);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The working folder of a process as a path of this machine.
pub(crate) fn here(process: &ProcessId) -> Option<PathBuf> {
    let folder = working_folder(process).ok()?;
    if has_other_files(process).unwrap_or(false) {
        let inside = folder.strip_prefix("/").unwrap_or(&folder);
        return Some(Path::new("/proc").join(process.pid.to_string()).join("root").join(inside));
    }
    Some(folder)
}

/// `venv/lib/python3.11/site-packages/dotenv`
fn python_library(folder: &Path) -> bool {
    PYTHON.iter().any(|venv| {
        let versions = std::fs::read_dir(folder.join(venv).join("lib")).into_iter().flatten().flatten();
        let mut versions = versions.map(|version| version.path().join("site-packages/dotenv"));
        versions.any(|library| library.is_dir())
    })
}

/// Whether a source is a file of this path.
pub(crate) fn is_file(source: &Source, path: &Path) -> bool {
    matches!(&source.origin, Origin::File(own) if own == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_dollar_is_doubtful_for_node_and_no_other_value_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        std::fs::write(&path, "A=a$b\nB='a$b'\nC=\"a${b}\"\nD=pa$$word\nE=a-b\nF='a b'\n").unwrap();
        let known = |library| -> Vec<String> {
            let read = read_all(vec![(path.clone(), Err(NOT_SEEN))], library);
            let [(source, false)] = &read[..] else { panic!("one file") };
            let has = source.entries.iter().filter(|(_, entry)| entry.value.is_ok());
            has.map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(known(Some(DotenvReader::Npm)), ["E", "F"]);
        assert_eq!(known(Some(DotenvReader::Python)), ["A", "B", "D", "E", "F"]);
    }
}
