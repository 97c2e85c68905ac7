use std::path::{Path, PathBuf};

use keyroll_observe::{ProcessId, has_other_files, image, shown, working_folder};

use super::Keeper;
use super::around::Around;
use super::env_file;
use super::source::{Kept, Origin, Read, Source};

/// The file that libraries read where nothing else is said.
const NAME: &str = ".env";

/// Where the libraries lie beside a program.
const LIBRARIES: [&str; 1] = ["node_modules/dotenv"];
const PYTHON: [&str; 2] = ["venv", ".venv"];

/// What a program's own text says of `.env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// It is read, and the environment wins.
    Fills,
    /// It is read, and wins over the environment.
    Overrides,
    /// Nothing was seen that reads it.
    NotSeen,
}

/// Adds `.env` of the folder that a service's program works in, where it is there: a library reads it after the program
/// has begun, and leaves alone what the environment has, unless it is told to override.
pub(crate) fn add(around: &Around<'_>, kept: &mut Kept) {
    // One whose starter is unknown has it among its sources already.
    let (Some(main), false) = (kept.main, kept.keeper == Keeper::Nobody) else { return };
    if let Some((source, overrides)) = source(around, &main) {
        let at = if overrides { 0 } else { kept.sources.len() };
        kept.sources.insert(at, source);
    }
}

/// `.env` of a process, and whether it wins over everything else.
pub(crate) fn source(around: &Around<'_>, process: &ProcessId) -> Option<(Source, bool)> {
    let folder = here(process)?;
    let path = folder.join(NAME);
    let source = env_file::source(shown(&path), &path);
    if source.says_nothing() {
        return None;
    }
    let reads = reads(around, process, &folder);
    let source = Source { read_later: true, ..source.applied_by("a restart of the program") };
    let source = match reads {
        Reads::Fills | Reads::Overrides => source,
        Reads::NotSeen => source.read(Read::Perhaps("nothing shows whether the program reads it")),
    };
    Some((source, reads == Reads::Overrides))
}

/// The working folder of a process as it is named from here.
pub(crate) fn here(process: &ProcessId) -> Option<PathBuf> {
    let folder = working_folder(process).ok()?;
    if has_other_files(process).unwrap_or(false) {
        let inside = folder.strip_prefix("/").unwrap_or(&folder);
        return Some(Path::new("/proc").join(process.pid.to_string()).join("root").join(inside));
    }
    Some(folder)
}

/// The text of the script that runs is looked at, and what lies beside it. A library that is used from elsewhere in a
/// large program is found by its folder.
fn reads(around: &Around<'_>, process: &ProcessId, folder: &Path) -> Reads {
    let script = image(process).ok().and_then(|image| image.script);
    let text = script.and_then(|script| env_file::read(&script.here).ok());
    let text = text.map(|text| String::from_utf8_lossy(text.expose()).into_owned()).unwrap_or_default();
    let given = around.process(process.pid).is_some_and(|one| {
        one.args
            .any(|word| word.starts_with(b"--env-file") || word.ends_with(b"/dotenv") || word == b"dotenv")
    });
    if text.contains("dotenv") || text.contains(".env\"") || text.contains(".env'") || given {
        let packed: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let overrides = ["override=True", "override:true"].iter().any(|word| packed.contains(word));
        return if overrides { Reads::Overrides } else { Reads::Fills };
    }
    if LIBRARIES.iter().any(|library| folder.join(library).is_dir()) || python_library(folder) {
        return Reads::Fills;
    }
    Reads::NotSeen
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
