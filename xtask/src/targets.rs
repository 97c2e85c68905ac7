//! Every test: the programs are built once, and each module of a program runs as a process of its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lanes::{self, Unit};
use crate::run::{output, root, run};

/// The modules that take minutes, the longest first: a long module that begins last would run on alone.
const LONGEST: [&str; 22] = [
    "cli/litellm",
    "cli/postgres",
    "cli/servers",
    "cli/kill",
    "cli/hostile",
    "cli/bad_days",
    "cli/matrix",
    "cli/issuers",
    "cli/split",
    "cli/openclaw",
    "cli/aimed",
    "journal/faulty_vfs",
    "cli/gate",
    "cli/managers",
    "trace/chains",
    "cli/scenes",
    "cli/init",
    "cli/canary",
    "cli/seen",
    "cli/systemd",
    "store/hostile",
    "journal/hostile",
];

/// The examples that tests start as programs.
const EXAMPLES: [&str; 3] = ["part", "replace", "pgload"];

/// The program of a room's integration tests.
const SUITE: &str = "suite";

/// Runs the units whose name (`crate/module`) has one of these words, or all.
pub(crate) fn some(words: &[String]) -> Result<(), String> {
    let counted = Cell::new((0, 0));
    let ended = test(words, Vec::new(), &counted);
    println!("{} passed, {} failed", counted.get().0, counted.get().1);
    ended
}

/// Builds every test program, runs the units whose name has one of these words (or all), and counts how many tests
/// passed and failed. Additional units run in the background. The error says what failed tests printed.
pub(crate) fn test(
    words: &[String],
    background: Vec<Unit>,
    counted: &Cell<(u64, u64)>,
) -> Result<(), String> {
    check_layout()?;
    let programs = build()?;
    println!("{} test programs", programs.len());
    let mut units = Vec::new();
    for program in programs {
        units.extend(split(program)?);
    }
    units.retain(|unit| words.is_empty() || words.iter().any(|word| unit.name.contains(word)));
    units.sort_by_key(|unit| LONGEST.iter().position(|name| *name == unit.name).unwrap_or(LONGEST.len()));
    units.extend(background);
    let ended = lanes::run(units)?;
    let (mut passed, mut failed) = (0, 0);
    let (mut names, mut excerpts) = (Vec::new(), String::new());
    for unit in ended {
        passed += unit.counts.0;
        failed += unit.counts.1;
        if unit.failed.is_some() {
            failed += u64::from(unit.counts.1 == 0);
            excerpts.push_str(&format!("\n── {}\n{}", unit.name, unit.excerpt));
            names.push(unit.name);
        }
    }
    counted.set((passed, failed));
    if names.is_empty() { Ok(()) } else { Err(format!("{}{excerpts}", names.join("; "))) }
}

/// Refuses a test file that is no module of a program: its tests would never run.
fn check_layout() -> Result<(), String> {
    let mut left = Vec::new();
    for manifest in manifests(&root().join("crates")) {
        let folder = manifest.parent().unwrap_or(&manifest).join("tests");
        let main = fs::read_to_string(folder.join("main.rs")).unwrap_or_default();
        let text =
            fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
        let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
            let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let module = main.lines().any(|line| line.ends_with(&format!("mod {name};")));
            if !module && !text.contains(&format!("path = \"tests/{name}.rs\"")) {
                left.push(file.display().to_string());
            }
        }
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("add to tests/main.rs of its room: {}", left.join(", ")))
    }
}

/// Every room's Cargo.toml.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    if manifest.is_file() {
        return vec![manifest];
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).flat_map(|path| manifests(&path)).collect()
}

/// Builds every test program, and the examples that tests start; nothing else is compiled.
fn build() -> Result<Vec<Unit>, String> {
    let words =
        ["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics", "--tests"];
    let told = output("cargo", &words)?;
    let built: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // `cargo test --example` would build them as tests.
    let examples = EXAMPLES.iter().flat_map(|name| ["--example", name]);
    run("cargo", &["build", "--workspace", "--quiet"].into_iter().chain(examples).collect::<Vec<_>>())?;
    Ok(built.iter().filter_map(|artifact| program(artifact, &built)).collect())
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

/// A test program that cargo built, as a unit with all of its tests.
fn program(artifact: &Value, built: &[Value]) -> Option<Unit> {
    if artifact.pointer("/profile/test")? != &Value::Bool(true) {
        return None;
    }
    let program = PathBuf::from(text(artifact, "/executable")?);
    let manifest = text(artifact, "/manifest_path")?;
    let folder = Path::new(manifest).parent()?.to_owned();
    let kind = match text(artifact, "/target/kind/0")? {
        "lib" => "lib".to_owned(),
        "test" => text(artifact, "/target/name")?.to_owned(),
        other => format!("{other}-{}", text(artifact, "/target/name")?),
    };
    let name = format!("{}/{kind}", folder.file_name()?.to_str()?);
    // The programs of the same package, in the variables in which its tests look for them.
    let bins = built.iter().filter_map(|other| {
        let same = text(other, "/manifest_path")? == manifest;
        let bin = text(other, "/target/kind/0")? == "bin" && other.pointer("/profile/test")? == false;
        let named = format!("CARGO_BIN_EXE_{}", text(other, "/target/name")?);
        (same && bin).then(|| Some((named, PathBuf::from(text(other, "/executable")?))))?
    });
    let mut variables: Vec<(String, PathBuf)> = bins.collect();
    variables.push(("CARGO_MANIFEST_DIR".into(), folder.clone()));
    Some(Unit { name, program, words: vec!["--show-output".into()], folder, variables, background: false })
}

/// The modules of a suite, each with the names of its tests; any other program is not split.
fn split(program: Unit) -> Result<Vec<Unit>, String> {
    let Some(room) = program.name.strip_suffix(&format!("/{SUITE}")) else { return Ok(vec![program]) };
    let listed = output(&program.program.display().to_string(), &["--list", "--format", "terse"])?;
    let modules = modules(&listed).into_iter().map(|(module, tests)| {
        let mut words = program.words.clone();
        words.push("--exact".into());
        words.extend(tests.into_iter().map(str::to_owned));
        Unit { name: format!("{room}/{module}"), words, ..program.clone() }
    });
    Ok(modules.collect())
}

/// The tests of each top-level module, by the lines `module::…::name: test` of a program's list.
fn modules(listed: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for test in listed.lines().filter_map(|line| line.strip_suffix(": test")) {
        let module = test.split_once("::").map_or("main", |(module, _)| module);
        modules.entry(module).or_default().push(test);
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_grouped_by_their_top_level_module() {
        let listed =
            "kill::lane: test\nhostile::word::one: test\nkill::part: test\nalone: test\nbench: benchmark\n";
        let modules = modules(listed);
        assert_eq!(modules["kill"], ["kill::lane", "kill::part"]);
        assert_eq!(modules["hostile"], ["hostile::word::one"]);
        assert_eq!(modules["main"], ["alone"]);
        assert_eq!(modules.len(), 3);
    }

    #[test]
    fn every_file_of_tests_belongs_to_a_program() {
        check_layout().unwrap();
    }
}
