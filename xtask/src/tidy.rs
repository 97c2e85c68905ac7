//! The rules of this source tree that a program can check.

mod arity;
mod import_cycles;
mod map;
pub(crate) mod storeys;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;

pub(crate) use self::import_cycles::is_for_tests;
use crate::run::{output, root};

/// The most lines of a file, not counting the tests at its end.
const FILE_LINES_MAX: usize = 500;

/// The most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// The most packages in the binary's normal graph.
const PACKAGES_MAX: usize = 420;

/// Crates that must not be in the graph: a second crypto provider, a second TLS.
const BANNED: [&str; 4] = ["ring", "openssl", "openssl-sys", "native-tls"];

/// Words that the project's text does not use: it describes only the present state.
const WORDS: [&str; 6] = ["TODO", "FIXME", "XXX", "HACK", "unimplemented!", "todo!"];

/// The room with the table of codes.
const CODES: &str = "crates/core/codes";

/// Checks everything and names what is wrong.
pub(crate) fn tidy() -> Result<(), String> {
    let mut wrong = Vec::new();
    for path in sources("rs") {
        let text = read(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let test = shown.contains("/tests/") || shown.ends_with("tests.rs") || shown.contains("/benches/");
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        if !test {
            sizes(&shown, code, &mut wrong);
            arity::check(&shown, &text, &mut wrong);
        }
        if !shown.ends_with("tidy.rs") {
            wrong.extend(
                WORDS.iter().filter(|word| code.contains(**word)).map(|word| format!("{shown}: says {word}")),
            );
        }
    }
    storeys::check(&mut wrong)?;
    map::check(&mut wrong)?;
    crate::wording::check(&mut wrong)?;
    import_cycles::check(&mut wrong)?;
    error_codes(&mut wrong)?;
    protocol_ids(&mut wrong)?;
    for name in ["README.md", "ARCHITECTURE.md", "STYLE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
    {
        if !root().join(name).is_file() {
            wrong.push(format!("{name} is missing"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} untidy:\n  {}", wrong.len(), wrong.join("\n  "))) }
}

fn sizes(shown: &str, code: &str, wrong: &mut Vec<String>) {
    let lines = code.lines().count();
    if lines > FILE_LINES_MAX {
        wrong.push(format!("{shown}: {lines} lines, {FILE_LINES_MAX} at most"));
    }
    let all: Vec<&str> = code.lines().collect();
    let mut at = 0;
    while let Some(line) = all.get(at) {
        if is_function(line) {
            let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
            let end = format!("{indent}}}");
            let ends_at = |line: &&&str| line.ends_with(['{', ';', '}']);
            // The signature may span lines. One with another ending has no body, or its body is on the same line.
            let body = all.iter().skip(at).find(ends_at).is_some_and(|line| line.ends_with('{'));
            let length = all.iter().skip(at).take_while(|line| **line != end).count() + 1;
            let ends = body && all.get(at + length - 1).is_some_and(|line| *line == end);
            if ends && length > FUNCTION_LINES_MAX {
                wrong.push(format!("{shown}:{}: a function of {length} lines", at + 1));
            }
            at += if ends { length } else { 1 };
        } else {
            at += 1;
        }
    }
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub ")
        .or_else(|| line.split_once(") ").filter(|(vis, _)| vis.starts_with("pub(")).map(|(_, rest)| rest))
        .unwrap_or(line);
    let line = ["const ", "async ", "unsafe "]
        .iter()
        .fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    line.starts_with("fn ")
}

/// Checks that every code is used, and that only the table of codes has its number. The table's own tests compare it
/// with the pages.
fn error_codes(wrong: &mut Vec<String>) -> Result<(), String> {
    let mut unused: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code:?}")).collect();
    for path in sources("rs") {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if shown.contains("/tests/") || shown.starts_with("xtask/") || shown.starts_with(CODES) {
            continue;
        }
        let text = read(&path)?;
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        wrong.extend(numbers(code).map(|number| {
            format!("{shown}: writes {number}; name the problem instead: keyroll_codes::Code")
        }));
        for named in code.split("Code::").skip(1) {
            unused.remove(named.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default());
        }
    }
    wrong.extend(unused.iter().map(|name| format!("{CODES}/src/code.rs: nothing gives {name}")));
    Ok(())
}

/// Quoted texts that are the number of a code.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2).filter(|word| {
        word.len() == 5 && word.starts_with('K') && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    })
}

/// Checks that each id of a sentence of the protocol has a mutant or a named test.
fn protocol_ids(wrong: &mut Vec<String>) -> Result<(), String> {
    let protocol = read(&root().join("docs/design/rotation.md"))?;
    let table = read(&root().join("docs/design/protocol-ids.md"))?;
    for id in ids(&protocol) {
        if !ids(&table).contains(&id) {
            wrong.push(format!(
                "docs/design/rotation.md: {id} has neither a mutant nor a test in protocol-ids.md"
            ));
        }
    }
    let mut all = String::new();
    for path in sources("rs") {
        all += &read(&path)?;
    }
    for row in table.lines().filter(|line| line.starts_with("| P-")) {
        for name in row.split('`').skip(1).step_by(2) {
            if !all.contains(&format!("name: \"{name}\"")) && !all.contains(&format!("fn {name}(")) {
                wrong.push(format!("docs/design/protocol-ids.md: there is no mutant or test `{name}`"));
            }
        }
        if !row.contains('`') {
            wrong.push(format!("docs/design/protocol-ids.md: nothing holds this sentence: {row}"));
        }
    }
    Ok(())
}

fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("P-") && word.len() > 3).map(str::to_owned).collect()
}

/// The packages in the binary's normal graph, with their versions.
pub(crate) fn packages() -> Result<BTreeSet<String>, String> {
    let tree =
        output("cargo", &["tree", "-p", "keyroll", "-e", "normal", "--prefix", "none", "--no-dedupe"])?;
    Ok(tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

/// Checks that the binary's graph is small and has one crypto provider.
pub(crate) fn dependencies() -> Result<(), String> {
    let tree =
        output("cargo", &["tree", "-p", "keyroll", "-e", "normal", "--prefix", "none", "--no-dedupe"])?;
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    println!("{} packages in the binary's normal graph, {PACKAGES_MAX} at most", packages.len());
    let banned: Vec<&&str> =
        packages.iter().filter(|line| BANNED.contains(&line.split(' ').next().unwrap_or_default())).collect();
    if !banned.is_empty() {
        return Err(format!("banned packages: {banned:?}"));
    }
    if packages.len() > PACKAGES_MAX { Err("too many packages".to_owned()) } else { Ok(()) }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// All files of one kind in the source tree.
fn sources(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_measured_whatever_its_signature_spans() {
        let body = "    let _ = 0;\n".repeat(FUNCTION_LINES_MAX);
        let untidy = |head: &str| {
            let mut wrong = Vec::new();
            sizes("a.rs", &format!("{head}\n{body}}}\n"), &mut wrong);
            wrong.len()
        };
        assert_eq!(untidy("fn one() {"), 1);
        assert_eq!(untidy("pub(crate) async fn two(\n    a: u8,\n) -> Result<u8, u8> {"), 1);
        assert_eq!(untidy("fn three();\nstruct Large {"), 0);
    }
}
