//! The size of the code, and the cost of a change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use syn::Item;
use syn::spanned::Spanned as _;

use super::page::Figure;
use crate::rings;
use crate::run::{output, root, run};
use crate::tidy::is_for_tests;

/// A target folder in which nothing is compiled yet.
const COLD: &str = "target/figures/cold";

/// The file whose change is timed: the room that most others are built on.
const CHANGED: &str = "crates/core/rotation/src/step.rs";

/// A line of it, and what stands in its place while the build is timed.
const CHANGE: (&str, &str) = ("TRANSITIONS_MAX: usize = 32;", "TRANSITIONS_MAX: usize = 33;");

/// Lines of code: neither blank, nor only a comment, nor part of a test.
pub(super) fn sizes(all: &mut Vec<Figure>) -> Result<(), String> {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut files = 0;
    for path in sources(&root().join("crates"))? {
        let room = path.strip_prefix(root().join("crates")).map_err(|error| error.to_string())?;
        let storey = room.iter().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        *lines.entry(storey).or_default() += code_lines(&text)?;
        files += 1;
    }
    let sum: usize = lines.values().sum();
    let parts: Vec<String> = lines.iter().map(|(storey, count)| format!("{storey} {count}")).collect();
    all.push(Figure {
        what: "lines of code by storey, without blank lines, comments and tests",
        value: format!("{sum} in {files} files: {}", parts.join(", ")),
        limit: "fewer than 102,000",
        command: "cargo xtask figures",
    });
    Ok(())
}

/// How long an engineer waits for the builds.
pub(super) fn builds(all: &mut Vec<Figure>) -> Result<(), String> {
    let cold = root().join(COLD);
    if cold.exists() {
        fs::remove_dir_all(&cold).map_err(|error| format!("{}: {error}", cold.display()))?;
    }
    let begun = Instant::now();
    run("cargo", &["build", "--release", "--quiet", "-p", "keyroll", "--target-dir", COLD])?;
    let took = begun.elapsed().as_secs_f64();
    fs::remove_dir_all(&cold).map_err(|error| format!("{}: {error}", cold.display()))?;
    all.push(Figure {
        what: "release build of the command from an empty target folder, including third-party packages, without downloads",
        value: format!("{:.1} minutes", took / 60.0),
        limit: "≤ 4 minutes on 2 cores",
        command: "cargo build --release -p keyroll",
    });
    let tests = ["test", "--quiet", "-p", "keyroll-rotation"];
    run("cargo", &tests)?;
    let path = root().join(CHANGED);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let changed = text.replacen(CHANGE.0, CHANGE.1, 1);
    if changed == text {
        return Err(format!("{CHANGED} has no line '{}'", CHANGE.0));
    }
    fs::write(&path, changed).map_err(|error| format!("{}: {error}", path.display()))?;
    let begun = Instant::now();
    let tested = run("cargo", &tests);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    tested?;
    all.push(Figure {
        what: "time from a changed line in `rotation` until its tests have run",
        value: format!("{:.0} s", begun.elapsed().as_secs_f64()),
        limit: "≤ 20 s",
        command: "cargo test -p keyroll-rotation",
    });
    all.push(Figure {
        what: "all rings of the tests, in the last complete run",
        value: rings::last_minutes().unwrap_or_else(|| "not measured".to_owned()),
        limit: "≤ 20 minutes cold on 2 cores",
        command: "cargo xtask test",
    });
    Ok(())
}

/// How often each command opens its journal, store and sealing key.
pub(super) fn opens(all: &mut Vec<Figure>) -> Result<(), String> {
    let words = ["test", "--quiet", "-p", "keyroll", "--test", "suite", "--", "opens::", "--nocapture"];
    let text = output("cargo", &words)?;
    let counts: Vec<&str> = text.lines().filter(|line| line.starts_with('[')).collect();
    if counts.is_empty() {
        return Err("strace is not installed or may not trace".to_owned());
    }
    all.push(Figure {
        what: "files opened by `apply`, `resume` and `status`; the journal has one connection that writes and one that reads, and the witness is opened before each effect that it covers",
        value: counts.join("; ").replace('"', ""),
        limit: "each opened once",
        command: "cargo test -p keyroll --test suite opens::",
    });
    Ok(())
}

/// The Rust files of production code, without the rooms that only tests use.
fn sources(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            "tests" | "tests.rs" | "benches" | "examples" | "testkit" | "target" => {}
            _ if path.is_dir() => found.extend(sources(&path)?),
            _ if name.ends_with(".rs") => found.push(path),
            _ => {}
        }
    }
    Ok(found)
}

/// The lines of code outside the modules that are compiled only for tests.
fn code_lines(text: &str) -> Result<usize, String> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let mut left_out = vec![false; text.lines().count() + 1];
    for item in &file.items {
        let Item::Mod(item) = item else { continue };
        if !item.attrs.iter().any(is_for_tests) {
            continue;
        }
        let lines = item.span().start().line..=item.span().end().line;
        lines.for_each(|line| left_out.iter_mut().skip(line).take(1).for_each(|flag| *flag = true));
    }
    let numbered = text.lines().zip(left_out.iter().skip(1));
    let counts = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    Ok(numbered.filter(|(line, left_out)| !**left_out && counts(line)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_comments_and_blank_lines_are_no_code() {
        let text = "//! Doc.\n\nuse a::b;\n\n/// One.\nfn one() {\n    two();\n}\n\n#[cfg(test)]\nmod tests {\n    fn three() {}\n}\n";
        assert_eq!(code_lines(text), Ok(4));
    }
}
