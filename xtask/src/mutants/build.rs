//! Builds the copy. A mutant that does not compile is dropped.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::fate::RECORDINGS;
use super::rewrite::Rewritten;
use super::workspace::{Generated, MUTATED, below, copy, write};

/// How often the copy is checked at most: each check must drop at least one mutant.
const CHECKS_MAX: usize = 40;

/// The most lines that an error may span whose mutants are all dropped.
const ERROR_BYTES_MAX: usize = 4_000;

/// Where the mutants that did not compile the last time are noted: they are not tried again as long as they are made
/// from the same code.
const DROPPED: &str = "dropped.txt";

/// Writes the mutated files and drops mutants until they compile. Returns the dropped ones.
pub(super) fn settle(generated: &Generated) -> Result<BTreeSet<u32>, String> {
    let known = std::fs::read_to_string(below(DROPPED)).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let mut dropped: BTreeSet<u32> = generated
        .mutations
        .iter()
        .filter(|it| known.contains(it.identity().as_str()))
        .map(|it| it.number)
        .collect();
    for _ in 0..CHECKS_MAX {
        let files = written(generated, &dropped)?;
        let errors = errors()?;
        if errors.is_empty() {
            let all = generated.mutations.iter().filter(|it| dropped.contains(&it.number));
            let lines: Vec<String> = all.map(|it| it.identity()).collect();
            write(&below(DROPPED), &(lines.join("\n") + "\n"))?;
            return Ok(dropped);
        }
        let mut more = BTreeSet::new();
        let mut unknown = Vec::new();
        for error in &errors {
            let found = error.blamed(&files);
            if found.is_empty() {
                unknown.push(error.text.clone());
            }
            more.extend(found);
        }
        eprintln!("{} errors, {} mutants do not compile", errors.len(), more.len());
        if more.is_empty() {
            return Err(format!("the mutated copy does not compile:\n{}", unknown.join("\n")));
        }
        dropped.extend(more);
    }
    Err(format!("the mutated copy does not compile after {CHECKS_MAX} checks"))
}

fn written(generated: &Generated, dropped: &BTreeSet<u32>) -> Result<Vec<(String, Rewritten)>, String> {
    let mut files = Vec::new();
    for source in &generated.sources {
        let rewritten = generated.rewritten(source, dropped);
        write(&copy().join("crates/core").join(&source.name), &rewritten.text)?;
        files.push((source.name.clone(), rewritten));
    }
    Ok(files)
}

/// What the compiler says about one place.
struct CompileError {
    text: String,
    /// Files relative to the copy, and bytes; the primary ones first.
    spans: Vec<(String, Range<usize>)>,
}

impl CompileError {
    /// The mutants that this error is about.
    fn blamed(&self, files: &[(String, Rewritten)]) -> BTreeSet<u32> {
        let found = self.spans.iter().map(|(file, bytes)| {
            let rewritten = files.iter().find(|(name, _)| file.ends_with(name.as_str()));
            rewritten.map(|(_, rewritten)| blamed_at(rewritten, bytes)).unwrap_or_default()
        });
        found.into_iter().find(|found| !found.is_empty()).unwrap_or_else(|| self.left_between(files))
    }

    /// The mutants between the places of this error that go on where the original leaves: without them the first place
    /// does not lead to the last.
    fn left_between(&self, files: &[(String, Rewritten)]) -> BTreeSet<u32> {
        let Some((name, _)) = self.spans.first() else { return BTreeSet::new() };
        let Some((_, file)) = files.iter().find(|(file, _)| name.ends_with(file.as_str())) else {
            return BTreeSet::new();
        };
        let here = self.spans.iter().filter(|(file, _)| file == name);
        let begin = here.clone().map(|(_, bytes)| bytes.start).min().unwrap_or_default();
        let end = here.map(|(_, bytes)| bytes.end).max().unwrap_or_default();
        let between = |it: &&super::rewrite::Place| begin <= it.whole.start && it.whole.end <= end;
        file.places.iter().filter(between).filter(|it| it.goes_on).map(|it| it.number).collect()
    }
}

/// The mutant whose own code contains these bytes; else the innermost mutated code around them; else what is inside.
fn blamed_at(file: &Rewritten, bytes: &Range<usize>) -> BTreeSet<u32> {
    let contains = |outer: &Range<usize>| outer.start <= bytes.start && bytes.end <= outer.end;
    let own = file.places.iter().filter(|it| contains(&it.own)).min_by_key(|it| it.own.len());
    if let Some(own) = own {
        return BTreeSet::from([own.number]);
    }
    let around = file.places.iter().filter(|it| contains(&it.whole)).min_by_key(|it| it.whole.len());
    if let Some(around) = around {
        let same = file.places.iter().filter(|it| it.source == around.source);
        return same.map(|it| it.number).collect();
    }
    if bytes.len() > ERROR_BYTES_MAX {
        return BTreeSet::new();
    }
    let inside = |it: &Range<usize>| bytes.start <= it.start && it.end <= bytes.end;
    file.places.iter().filter(|it| inside(&it.whole)).map(|it| it.number).collect()
}

/// `cargo` in the copy, with a folder of its own for what it builds.
pub(super) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(words).current_dir(copy()).env("CARGO_TARGET_DIR", below("target"));
    // Mutated code has many warnings.
    command.env_remove("RUSTFLAGS");
    command
}

fn errors() -> Result<Vec<CompileError>, String> {
    let mut words = vec!["check", "--offline", "--message-format=json", "--keep-going"];
    let packages: Vec<String> = MUTATED.iter().map(|room| format!("keyroll-{room}")).collect();
    for package in &packages {
        words.extend(["-p", package]);
    }
    let output = cargo(&words).output().map_err(|error| format!("could not start cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<CompileError> = text.lines().filter_map(error_of).collect();
    if !output.status.success() && found.is_empty() {
        return Err(format!("cargo check failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(found)
}

fn error_of(line: &str) -> Option<CompileError> {
    let value: Value = serde_json::from_str(line).ok()?;
    let message = value.get("message")?;
    if message.get("level")?.as_str()? != "error" {
        return None;
    }
    let mut spans = Vec::new();
    for primary in [true, false] {
        spans_of(message, primary, &mut spans);
        for child in message.get("children").and_then(Value::as_array).into_iter().flatten() {
            spans_of(child, primary, &mut spans);
        }
    }
    // The last message only counts the others.
    if spans.is_empty() {
        return None;
    }
    let text = message.get("rendered").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(CompileError { text, spans })
}

fn spans_of(message: &Value, primary: bool, found: &mut Vec<(String, Range<usize>)>) {
    for span in message.get("spans").and_then(Value::as_array).into_iter().flatten() {
        // A span inside of a macro is replaced by the place where the macro is called.
        let mut span = span;
        while let Some(outer) = span.pointer("/expansion/span") {
            span = outer;
        }
        let is_primary = span.get("is_primary").and_then(Value::as_bool).unwrap_or_default();
        let number = |name: &str| usize::try_from(span.get(name)?.as_u64()?).ok();
        let file = span.get("file_name").and_then(Value::as_str).unwrap_or_default();
        if is_primary == primary
            && let (Some(begin), Some(end)) = (number("byte_start"), number("byte_end"))
        {
            found.push((file.to_owned(), begin..end));
        }
    }
}

/// A program of the copy.
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// The folder of its package, where its tests run.
    pub(super) folder: PathBuf,
}

impl Program {
    /// Whether this is the test program with the recorded schedules.
    pub(super) fn has_recordings(&self) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(RECORDINGS))
    }
}

/// Builds programs of the copy.
pub(super) fn programs(words: &[&str]) -> Result<Vec<Program>, String> {
    let words = [words, &["--offline", "--message-format=json"]].concat();
    let output = cargo(&words).output().map_err(|error| format!("could not start cargo: {error}"))?;
    if !output.status.success() {
        let words = words.join(" ");
        return Err(format!("cargo {words} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().filter_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        let path = PathBuf::from(value.get("executable")?.as_str()?);
        let folder = PathBuf::from(value.get("manifest_path")?.as_str()?).parent()?.to_owned();
        Some(Program { path, folder })
    });
    Ok(found.collect())
}
