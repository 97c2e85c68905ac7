//! The mutated copy of the core: a workspace of its own below `target`.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::collect::collect;
use super::facts::Facts;
use super::mutation::{self, Mutation};
use super::rewrite::{Rewritten, rewrite};
use crate::run::root;

/// The crates that are mutated, in the order in which they are compiled.
pub(super) const MUTATED: [&str; 2] = ["rotation", "engine"];

/// Files of the workspace that the copy needs as they are.
const ALIKE: [&str; 3] = ["Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml"];

/// One file of a mutated crate.
pub(super) struct Source {
    /// Relative to `crates/core`.
    pub(super) name: String,
    text: String,
    erased: Vec<Range<usize>>,
}

/// All mutants, and the sources that they are made from.
pub(super) struct Generated {
    pub(super) sources: Vec<Source>,
    pub(super) mutations: Vec<Mutation>,
}

/// The folder of the copy.
pub(super) fn copy() -> PathBuf {
    below("workspace")
}

/// A place for what this command writes.
pub(super) fn below(name: &str) -> PathBuf {
    root().join("target/mutants").join(name)
}

/// Reads the mutated crates and makes their mutants.
pub(super) fn generate() -> Result<Generated, String> {
    let core = root().join("crates/core");
    let mut sources = Vec::new();
    for room in MUTATED {
        for path in files_below(&core.join(room).join("src"))? {
            let name = path.strip_prefix(&core).unwrap_or(&path).display().to_string();
            if path.extension().is_some_and(|it| it == "rs") && !name.ends_with("tests.rs") {
                sources.push((name, read(&path)?));
            }
        }
    }
    generate_from(sources)
}

/// Makes the mutants of these files, each with its name.
pub(super) fn generate_from(files: Vec<(String, String)>) -> Result<Generated, String> {
    let of = |(name, text)| Source { name, text, erased: Vec::new() };
    let mut sources: Vec<Source> = files.into_iter().map(of).collect();
    let parse = |one: &Source| syn::parse_file(&one.text).map_err(|error| format!("{}: {error}", one.name));
    let parsed: Vec<syn::File> = sources.iter().map(parse).collect::<Result<_, _>>()?;
    let mut facts = Facts::default();
    parsed.iter().for_each(|file| facts.read(file));
    let mut mutations = Vec::new();
    for (source, file) in sources.iter_mut().zip(&parsed) {
        let (found, erased) = collect(&source.name, &source.text, file, &facts);
        source.erased = erased;
        mutations.extend(found);
    }
    mutation::number(&mut mutations);
    Ok(Generated { sources, mutations })
}

impl Generated {
    /// A file with its mutants in it, without those that are dropped.
    pub(super) fn rewritten(&self, source: &Source, dropped: &std::collections::BTreeSet<u32>) -> Rewritten {
        let here = self.mutations.iter().filter(|it| it.file == source.name && !dropped.contains(&it.number));
        rewrite(&source.text, here, &source.erased)
    }
}

/// Writes everything of the copy except for the mutated files.
pub(super) fn prepare() -> Result<(), String> {
    for name in ALIKE {
        write(&copy().join(name), &read(&root().join(name))?)?;
    }
    write(&copy().join("Cargo.toml"), &manifest(&read(&root().join("Cargo.toml"))?))?;
    let core = root().join("crates/core");
    // The table of codes includes its pages.
    for path in files_below(&root().join("docs/errors"))? {
        let name = path.strip_prefix(root()).unwrap_or(&path).to_owned();
        write(&copy().join(name), &read(&path)?)?;
    }
    for path in files_below(&core)? {
        let name = path.strip_prefix(&core).unwrap_or(&path).to_owned();
        let shown = name.display().to_string();
        if MUTATED.iter().any(|room| shown.starts_with(&format!("{room}/src/"))) {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let bytes = match MUTATED.iter().any(|room| shown == format!("{room}/Cargo.toml")) {
            true => with_the_switch(&String::from_utf8_lossy(&bytes)).into_bytes(),
            false => bytes,
        };
        write_bytes(&copy().join("crates/core").join(name), &bytes)?;
    }
    Ok(())
}

/// The manifest of a workspace that has only the storey `core`.
fn manifest(of: &str) -> String {
    let (before, rest) = of.split_once("members = [").unwrap_or((of, ""));
    let (_, after) = rest.split_once("]\n").unwrap_or(("", rest));
    let after =
        after.lines().filter(|line| !line.starts_with("exclude =") && !line.starts_with("default-members ="));
    let after: Vec<&str> = after.collect();
    let text = format!("{before}members = [\"crates/core/*\"]\n{}\n", after.join("\n"));
    // Mutated code has thousands of warnings.
    text.replacen(
        "[workspace.lints.rust]\n",
        "[workspace.lints.rust]\nwarnings = \"allow\"\narithmetic_overflow = \"allow\"\n",
        1,
    )
}

/// A manifest of a mutated crate.
fn with_the_switch(of: &str) -> String {
    of.replacen("[dependencies]\n", "[dependencies]\nkeyroll-mutation.workspace = true\n", 1)
}

/// Writes a file if it is not the same already: then nothing is compiled again.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    write_bytes(path, text.as_bytes())
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("could not write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
