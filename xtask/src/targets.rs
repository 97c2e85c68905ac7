//! Every test: the programs are built once, and each module of a program runs as a process of its own.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::lanes::{self, TestCount, Unit};
use crate::night;
use crate::run::{output, root};

/// The units that take longest, by the beginnings of their names: a long unit that begins last would run on alone.
const LONGEST: [&str; 25] = [
    "cli/openclaw",
    "journal/faulty_vfs",
    "cli/postgres::",
    "cli/servers::",
    "cli/matrix",
    "cli/issuers",
    "cli/systemd",
    "cli/units",
    "cli/split::",
    "logins/",
    "cli/newcomer",
    "cli/terminal",
    "demo/",
    "cli/canary",
    "observe/logs",
    "cli/hostile::",
    "cli/bad_days::",
    "cli/night::",
    "cli/managers::",
    "manager/",
    "trace/chains::",
    "cli/scenes::",
    "cli/docker::",
    "scanner/",
    "history/",
];

/// The program of a room's integration tests.
const SUITE: &str = "suite";

/// Modules in which each test is a unit of its own: together they would take longer than a unit may.
const SPLIT: [&str; 18] = [
    "cli/aimed",
    "cli/bad_days",
    "cli/docker",
    "cli/gate",
    "cli/hostile",
    "cli/init",
    "cli/kill",
    "cli/managers",
    "cli/night",
    "cli/openclaw",
    "cli/overlaps",
    "cli/postgres",
    "cli/scenes",
    "cli/servers",
    "cli/split",
    "cli/values",
    "manager/docker",
    "trace/chains",
];

/// How long a unit of a part may take before it is ended, seconds: a part takes an hour at most.
const UNIT_SECONDS_MAX: u64 = 55 * 60;

/// Which tests are run.
pub(crate) enum Which<'a> {
    /// Those that a change must pass.
    Change,
    /// All tests of the units whose name (`crate/module`) has one of these words; without words, all tests.
    Named(&'a [String]),
    /// All tests of the units whose name begins so.
    Begins(&'a [&'a str]),
}

impl Which<'_> {
    /// The beginnings for which this test is left to a part of a night.
    fn left_out_by(&self, test: &str) -> Vec<&'static str> {
        match self {
            Self::Change => night::beginnings().filter(|beginning| test.starts_with(beginning)).collect(),
            Self::Named(_) | Self::Begins(_) => Vec::new(),
        }
    }

    /// Each word and each beginning must be of a unit: else nothing would run, and pass.
    fn refuse_unknown(&self, units: &[Unit]) -> Result<(), String> {
        let unknown = |of: &dyn Fn(&str) -> bool| !units.iter().any(|unit| of(&unit.name));
        let found: Option<&str> = match self {
            Self::Change => None,
            Self::Named(words) => {
                words.iter().map(String::as_str).find(|word| unknown(&|name| name.contains(word)))
            }
            Self::Begins(all) => all.iter().copied().find(|one| unknown(&|name| name.starts_with(one))),
        };
        found.map_or(Ok(()), |word| Err(format!("no unit is called `{word}`")))
    }

    /// How long a unit may take, seconds.
    fn seconds_max(&self) -> u64 {
        match self {
            Self::Change => lanes::SECONDS_MAX,
            Self::Named(_) | Self::Begins(_) => UNIT_SECONDS_MAX,
        }
    }

    fn has_unit(&self, name: &str) -> bool {
        match self {
            Self::Change => true,
            Self::Named(words) => words.is_empty() || words.iter().any(|word| name.contains(word)),
            Self::Begins(beginnings) => beginnings.iter().any(|beginning| name.starts_with(beginning)),
        }
    }
}

/// Runs the units whose name (`crate/module`) has one of these words, or all, with all their tests.
pub(crate) fn some(words: &[String]) -> Result<(), String> {
    lanes::forget_logs();
    counted(&Which::Named(words), None)
}

/// Runs these tests, with a variable, and prints how many passed.
pub(crate) fn counted(which: &Which<'_>, variable: Option<(&str, &str)>) -> Result<(), String> {
    let counted = Cell::new((0, 0));
    let ended = test(which, variable, Vec::new(), &counted);
    println!("{} passed, {} failed", counted.get().0, counted.get().1);
    ended
}

/// Builds every test program, runs these tests, and counts how many passed and failed. More units run beside them. The error says what failed tests printed.
pub(crate) fn test(
    which: &Which<'_>,
    variable: Option<(&str, &str)>,
    more: Vec<Unit>,
    counted: &Cell<(u64, u64)>,
) -> Result<(), String> {
    check_layout()?;
    let begun = Instant::now();
    let programs = build()?;
    println!(
        "{} test programs, built in {:.1} minutes",
        programs.len(),
        begun.elapsed().as_secs_f64() / 60.0
    );
    let mut units = Vec::new();
    let mut left_out = BTreeSet::new();
    for program in programs {
        units.extend(split(program, which, &mut left_out)?);
    }
    if let (Which::Change, Some(unknown)) = (which, night::beginnings().find(|one| !left_out.contains(one))) {
        return Err(format!("no test begins with `{unknown}`, which xtask/src/night.rs leaves to a part"));
    }
    which.refuse_unknown(&units)?;
    units.retain(|unit| which.has_unit(&unit.name));
    for unit in &mut units {
        unit.seconds_max = which.seconds_max();
        if let Which::Named(_) = which {
            // A developer may select cases of a test.
            unit.variables.extend(own_variables());
        }
        unit.variables.extend(variable.map(|(name, value)| (name.to_owned(), PathBuf::from(value))));
    }
    let longest = |unit: &Unit| LONGEST.iter().position(|name| unit.name.starts_with(name));
    units.sort_by_key(|unit| longest(unit).unwrap_or(LONGEST.len()));
    units.splice(0..0, more);
    let own = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let ended = lanes::run(&own, units)?;
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

/// The variables of this process that select or extend tests.
fn own_variables() -> impl Iterator<Item = (String, PathBuf)> {
    let all = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into())));
    all.filter(|(name, _)| name.starts_with("KEYROLL_"))
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

/// Builds every test program, every example and every benchmark with clippy's compiler, and refuses its warnings: so the
/// rooms are read once, not once for the lint and once more for the tests.
fn build() -> Result<Vec<Unit>, String> {
    let built = linted(&["test", "--no-run", "--tests"])?;
    // `cargo test` would build examples and benchmarks as tests.
    let beside = linted(&["build", "--examples", "--benches"])?;
    let warnings: BTreeSet<&str> =
        [&built, &beside].into_iter().flat_map(|told| diagnostics(told, "warning")).collect();
    if warnings.is_empty() {
        return Ok(built.iter().filter_map(|artifact| program(artifact, &built)).collect());
    }
    Err(format!("the lint has warnings:\n{}", warnings.into_iter().collect::<Vec<_>>().join("\n")))
}

/// What cargo tells of this build of the workspace, a JSON value for each line.
fn linted(words: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = Command::new("cargo");
    command.args(words).args(["--workspace", "--quiet", "--message-format=json"]);
    // It compiles as rustc does, and lints. The optimizations that it leaves out matter to no test.
    command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    command.current_dir(root()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("could not start cargo: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let told: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if output.status.success() {
        return Ok(told);
    }
    let errors = diagnostics(&told, "error").into_iter().collect::<Vec<_>>().join("\n");
    Err(format!("cargo {} ended with {}:\n{errors}", words.join(" "), output.status))
}

/// What the compiler says at this level, as it would print it, each once: code that is compiled for two programs is
/// told twice.
fn diagnostics<'a>(told: &'a [Value], level: &str) -> BTreeSet<&'a str> {
    let messages = told.iter().filter(|value| text(value, "/message/level") == Some(level));
    messages.filter_map(|value| text(value, "/message/rendered")).collect()
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
    let words = vec!["--show-output".into()];
    let plain = Unit::plain(&name, &program, &[]);
    Some(Unit { words, folder, variables, tests: Some(TestCount::All), ..plain })
}

/// The modules of a suite, each with the names of its tests; any other program is not split. Adds the beginnings for
/// which a test was left out.
fn split(
    program: Unit,
    which: &Which<'_>,
    left_out: &mut BTreeSet<&'static str>,
) -> Result<Vec<Unit>, String> {
    let Some(room) = program.name.strip_suffix(&format!("/{SUITE}")) else { return Ok(vec![program]) };
    let listed = output(&program.program.display().to_string(), &["--list", "--format", "terse"])?;
    let mut units = Vec::new();
    for (module, mut tests) in modules(&listed) {
        tests.retain(|test| {
            let by = which.left_out_by(&format!("{room}/{test}"));
            left_out.extend(&by);
            by.is_empty()
        });
        let name = format!("{room}/{module}");
        let each = SPLIT.contains(&name.as_str());
        let groups: Vec<&[&str]> = if each { tests.chunks(1).collect() } else { vec![&tests[..]] };
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            let mut words = program.words.clone();
            words.push("--exact".into());
            words.extend(group.iter().map(|test| (*test).to_owned()));
            let name = if each { format!("{room}/{}", group.concat()) } else { name.clone() };
            let tests = Some(TestCount::Named(group.len() as u64));
            units.push(Unit { name, words, tests, ..program.clone() });
        }
    }
    Ok(units)
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
