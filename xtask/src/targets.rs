//! Every test: the programs are built once, and each module of a program runs as a process of its own, as soon as its
//! program is built.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::Value;

use crate::inherited::is_of_tests;
use crate::lanes::{self, Supply, TestCount, Unit};
use crate::night;
use crate::run::{output, root};
use crate::world;

/// The units that take longest, by the beginnings of their names: a long unit that begins last would run on alone.
const LONGEST: [&str; 30] = [
    "cli/fleet::",
    "cli/stores::",
    "cli/openclaw",
    "cli/operated",
    "cli/emergency",
    "cli/incidents",
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
const SPLIT: [&str; 23] = [
    "cli/aimed",
    "cli/bad_days",
    "cli/docker",
    "cli/fleet",
    "cli/gate",
    "cli/hostile",
    "cli/init",
    "cli/kill",
    "cli/managers",
    "cli/newcomer",
    "cli/night",
    "cli/openclaw",
    "cli/overlaps",
    "cli/postgres",
    "cli/scenes",
    "cli/servers",
    "cli/split",
    "cli/static_roles",
    "cli/stores",
    "cli/values",
    "logins/static_roles",
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
    /// All tests of the units whose name begins so, and all tests whose name (`crate/module::…`) does.
    Begins(&'a [&'a str]),
}

impl Which<'_> {
    /// Whether it runs this test (`crate/module::…`) where it runs the unit. Several parts of a night may share a module.
    fn has_test(&self, test: &str) -> bool {
        match self {
            Self::Change => !night::leaves(test),
            Self::Named(_) => true,
            Self::Begins(all) => all.iter().any(|beginning| test.starts_with(beginning)),
        }
    }

    /// Each word and each beginning must be of a unit: else nothing would run, and pass.
    fn refuse_unknown(&self, units: &[Unit]) -> Result<(), String> {
        let unknown = |of: &dyn Fn(&Unit) -> bool| !units.iter().any(of);
        let found: Option<&str> = match self {
            Self::Change => None,
            Self::Named(words) => {
                words.iter().map(String::as_str).find(|word| unknown(&|unit| unit.name.contains(word)))
            }
            Self::Begins(all) => all.iter().copied().find(|one| unknown(&|unit| begins(unit, one))),
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

    fn has_unit(&self, unit: &Unit) -> bool {
        match self {
            Self::Change => true,
            Self::Named(words) => words.is_empty() || words.iter().any(|word| unit.name.contains(word)),
            Self::Begins(all) => all.iter().any(|beginning| begins(unit, beginning)),
        }
    }
}

/// Whether the name of a unit begins so, or that of a test that it runs.
fn begins(unit: &Unit, beginning: &str) -> bool {
    let room = unit.name.split('/').next().unwrap_or_default();
    let is_so = |word: &String| format!("{room}/{word}").starts_with(beginning);
    unit.name.starts_with(beginning) || unit.words.iter().any(is_so)
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

/// A unit that is no test program.
pub(crate) struct Beside {
    pub(crate) unit: Unit,
    /// The program that must have been built, by its name; `None` = it can begin at once.
    pub(crate) needs: Option<&'static str>,
}

/// What has been built.
enum Built {
    /// A program, by its name.
    Program(String),
    /// A test program, as a unit with all of its tests.
    Tests(Unit),
}

/// The units, while their programs are being built.
struct Units<'a> {
    which: &'a Which<'a>,
    variable: Option<(&'a str, &'a str)>,
    built: Receiver<Built>,
    build: Option<JoinHandle<Result<(), String>>>,
    more: Vec<Beside>,
    named: BTreeSet<&'static str>,
}

impl Units<'_> {
    fn of(&mut self, program: Unit) -> Result<Vec<Unit>, String> {
        let mut units = split(program, self.which, &mut self.named)?;
        for unit in &mut units {
            unit.rank =
                1 + LONGEST.iter().position(|name| unit.name.starts_with(name)).unwrap_or(LONGEST.len());
            unit.seconds_max = self.which.seconds_max();
            if let Which::Named(_) = self.which {
                // A developer may select cases of a test, or let it write what it compares.
                unit.variables.extend(own_variables());
            }
            let more = self.variable.map(|(name, value)| (name.to_owned(), PathBuf::from(value)));
            unit.variables.extend(more);
        }
        Ok(units)
    }

    /// Those that need only this program.
    fn beside(&mut self, needs: Option<&str>) -> Vec<Unit> {
        self.more.extract_if(.., |one| one.needs == needs).map(|one| one.unit).collect()
    }

    fn supply(&mut self) -> Result<Supply, String> {
        let mut units = self.beside(None);
        let told = match self.which {
            // The end of the build is awaited.
            Which::Named(_) | Which::Begins(_) => self.built.recv().map_err(|_| TryRecvError::Disconnected),
            Which::Change => self.built.try_recv(),
        };
        match told {
            Ok(Built::Program(name)) => units.extend(self.beside(Some(&name))),
            Ok(Built::Tests(program)) => units.extend(self.of(program)?),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                let build = self.build.take().map(JoinHandle::join);
                build.unwrap_or(Ok(Ok(()))).map_err(|_| "the build panicked".to_owned())??;
                let never = |one: &&'static str| !self.named.contains(one);
                if let (Which::Change, Some(unknown)) = (self.which, night::beginnings().find(never)) {
                    let why = "which xtask/src/night/table.rs names";
                    return Err(format!("no test begins with `{unknown}`, {why}"));
                }
                return match self.more.first() {
                    None => Ok(Supply::End),
                    Some(left) => Err(format!("{}: what it needs was not built", left.unit.name)),
                };
            }
        }
        Ok(Supply::More(units))
    }

    /// All of them, chosen: if one of the words is of no unit, none runs.
    fn chosen(mut self) -> Result<Vec<Unit>, String> {
        let mut all = Vec::new();
        while let Supply::More(units) = self.supply()? {
            all.extend(units);
        }
        self.which.refuse_unknown(&all)?;
        all.retain(|unit| self.which.has_unit(unit));
        Ok(all)
    }
}

/// Builds every test program, runs these tests, and counts how many passed and failed. More units run beside them. The
/// error says what failed tests printed.
pub(crate) fn test(
    which: &Which<'_>,
    variable: Option<(&str, &str)>,
    more: Vec<Beside>,
    counted: &Cell<(u64, u64)>,
) -> Result<(), String> {
    check_layout()?;
    let own = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let (tell, built) = channel();
    let build = Some(thread::spawn(move || build(&tell)));
    let mut units = Units { which, variable, built, build, more, named: BTreeSet::new() };
    let (ended, broken) = match which {
        Which::Change => {
            let mut broken = None;
            let ended = lanes::run(&own, &mut || {
                units.supply().unwrap_or_else(|why| {
                    println!("FAILED: the build, or what it built");
                    broken = Some(why);
                    Supply::Failed
                })
            })?;
            (ended, broken)
        }
        Which::Named(_) | Which::Begins(_) => {
            let mut parts = vec![Supply::End, Supply::More(units.chosen()?)];
            (lanes::run(&own, &mut || parts.pop().unwrap_or(Supply::End))?, None)
        }
    };
    let (mut passed, mut failed) = (0, u64::from(broken.is_some()));
    let (mut names, mut excerpts) = (Vec::from_iter(broken), String::new());
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

/// The variables of this process that select, extend or rewrite tests.
fn own_variables() -> impl Iterator<Item = (String, PathBuf)> {
    let all = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into())));
    all.filter(|(name, _)| is_of_tests(name))
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
            let module = main.lines().any(|line| declares(line, name));
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

/// Whether this line of a program makes the file of this name one of its modules.
fn declares(line: &str, name: &str) -> bool {
    let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
    let of = matches!(words.as_slice(), ["mod", one] | ["pub" | "pub(crate)", "mod", one] if *one == name);
    of && line.ends_with(';')
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
/// rooms are read once, not once for the lint and once more for the tests. What is built is told at once, but for the tests
/// of a room with examples, which may run them.
fn build(tell: &Sender<Built>) -> Result<(), String> {
    let begun = Instant::now();
    let (mut late, mut programs) = (Vec::new(), 0);
    let built = linted(&["test", "--no-run", "--tests"], &mut |artifact, before| {
        if let Some(unit) = program(artifact, before) {
            programs += 1;
            match unit.folder.join("examples").is_dir() {
                true => late.push(unit),
                false => drop(tell.send(Built::Tests(unit))),
            }
        } else if let Some(name) = bin(artifact) {
            drop(tell.send(Built::Program(name.to_owned())));
        }
    })?;
    // `cargo test` would build examples and benchmarks as tests.
    let beside = linted(&["build", "--examples", "--benches"], &mut |_, _| {})?;
    late.into_iter().for_each(|unit| drop(tell.send(Built::Tests(unit))));
    println!("{programs} test programs, built in {:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    let warnings: BTreeSet<&str> =
        [&built, &beside].into_iter().flat_map(|told| diagnostics(told, "warning")).collect();
    if warnings.is_empty() {
        return Ok(());
    }
    Err(format!("the lint has warnings:\n{}", warnings.into_iter().collect::<Vec<_>>().join("\n")))
}

/// What cargo tells of this build of the workspace, a JSON value for each line. `each` gets each of them as soon as it is
/// told, with those before it.
fn linted(words: &[&str], each: &mut dyn FnMut(&Value, &[Value])) -> Result<Vec<Value>, String> {
    let mut command = Command::new("cargo");
    command.args(words).args(["--workspace", "--quiet", "--message-format=json"]);
    // Whatever a person configured for cargo: the tests look for the programs there, and would find old ones.
    command.args(["--target-dir", "target"]);
    // It compiles as rustc does, and lints. The optimizations that it leaves out matter to no test.
    command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    command.current_dir(root()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("could not start cargo: {error}"))?;
    let mut told: Vec<Value> = Vec::new();
    for line in
        child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok)
    {
        if let Ok(value) = serde_json::from_str(&line) {
            if let Some(program) = text(&value, "/executable") {
                world::open_to_others(Path::new(program), &root().join("target"));
            }
            each(&value, &told);
            told.push(value);
        }
    }
    let status = child.wait().map_err(|error| format!("could not await cargo: {error}"))?;
    if status.success() {
        return Ok(told);
    }
    let errors = diagnostics(&told, "error").into_iter().collect::<Vec<_>>().join("\n");
    Err(format!("cargo {} ended with {status}:\n{errors}", words.join(" ")))
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

/// The name of a program that cargo built, if this is one.
fn bin(artifact: &Value) -> Option<&str> {
    let is_bin = text(artifact, "/target/kind/0")? == "bin" && artifact.pointer("/profile/test")? == false;
    text(artifact, "/executable").filter(|_| is_bin)?;
    text(artifact, "/target/name")
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
    let bins =
        built.iter().filter(|other| text(other, "/manifest_path") == Some(manifest)).filter_map(|other| {
            let named = format!("CARGO_BIN_EXE_{}", bin(other)?);
            Some((named, PathBuf::from(text(other, "/executable")?)))
        });
    let mut variables: Vec<(String, PathBuf)> = bins.collect();
    variables.push(("CARGO_MANIFEST_DIR".into(), folder.clone()));
    let words = vec!["--show-output".into()];
    let plain = Unit::plain(&name, &program, &[]);
    Some(Unit { words, folder, variables, tests: Some(TestCount::All), ..plain })
}

/// The modules of a suite, each with the names of its tests; any other program is not split. Adds the beginnings in
/// the parts of a night by which a test is named.
fn split(program: Unit, which: &Which<'_>, named: &mut BTreeSet<&'static str>) -> Result<Vec<Unit>, String> {
    let Some(room) = program.name.strip_suffix(&format!("/{SUITE}")) else { return Ok(vec![program]) };
    let listed = output(&program.program.display().to_string(), &["--list", "--format", "terse"])?;
    let modules = modules(&listed);
    if modules.is_empty() {
        return Err(format!("{} lists no test", program.name));
    }
    let mut units = Vec::new();
    for (module, mut tests) in modules {
        tests.retain(|test| {
            let test = format!("{room}/{test}");
            named.extend(night::beginnings().filter(|beginning| test.starts_with(beginning)));
            which.has_test(&test)
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
    fn a_part_runs_the_tests_that_begin_as_it_says_of_a_module_that_it_shares() {
        let which = Which::Begins(&["cli/kubernetes::served", "leak/"]);
        assert!(which.has_test("cli/kubernetes::served_pod::one") && which.has_test("leak/one::two"));
        assert!(!which.has_test("cli/kubernetes::rotate::one"));
        let unit = |name: &str, words: &[&str]| Unit::plain(name, Path::new("suite"), words);
        let shared = unit("cli/kubernetes", &["--exact", "kubernetes::served::one"]);
        let other = unit("cli/kubernetes", &["--exact", "kubernetes::rotate::one"]);
        assert!(which.has_unit(&shared) && which.has_unit(&unit("leak/lib", &[])) && !which.has_unit(&other));
        let unknown = which.refuse_unknown(&[unit("leak/lib", &[]), other]).unwrap_err();
        assert_eq!(unknown, "no unit is called `cli/kubernetes::served`");
        which.refuse_unknown(&[unit("leak/lib", &[]), shared]).unwrap();
    }

    #[test]
    fn every_file_of_tests_belongs_to_a_program() {
        check_layout().unwrap();
    }

    /// Red if a module that is only in a comment counts as one.
    #[test]
    fn a_module_is_declared_by_a_line_of_its_own() {
        assert!(declares("mod kill;", "kill") && declares("pub(crate) mod kill;", "kill"));
        for line in ["// mod kill;", "mod kills;", "mod kill {", "use kill;", "//! see mod kill;"] {
            assert!(!declares(line, "kill"), "{line}");
        }
    }

    /// Red if a suite that lists nothing is a suite without units: its room would pass untested.
    #[test]
    fn a_suite_that_lists_no_test_is_refused() {
        let suite = |program: &str| {
            let unit = Unit::plain("core/suite", Path::new(program), &[]);
            split(unit, &Which::Change, &mut BTreeSet::new()).map(|units| units.len())
        };
        assert_eq!(suite("true"), Err("core/suite lists no test".to_owned()));
        assert!(suite("false").is_err());
    }

    /// An ignored test is in neither the test of a change nor a night: each must be run by another one of its file.
    #[test]
    fn each_ignored_test_is_run_by_the_test_that_it_names() {
        let (mut folders, mut ignored) = (vec![root().join("crates"), root().join("xtask")], 0);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    ignored += ignored_tests(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                }
            }
        }
        assert!(ignored > 0, "none was found");
        let one = "#[test]\n#[ignore = \"run by all, alone\"]\nfn part() {}\n";
        assert_eq!(ignored_tests(&format!("{one}fn all() {{ run(\"part\") }}")), Ok(1));
        assert!(ignored_tests(one).is_err(), "nothing runs it");
        assert!(ignored_tests(&format!("{one}fn all() {{}}")).is_err(), "another one runs nothing");
        assert!(ignored_tests("#[ignore]\nfn part() {}\n").is_err());
    }

    /// How many tests this file ignores.
    fn ignored_tests(text: &str) -> Result<usize, String> {
        let (mut count, mut lines) = (0, text.lines());
        while let Some(line) = lines.next() {
            let Some(reason) = line.trim_start().strip_prefix("#[ignore") else { continue };
            let by = reason.strip_prefix(" = \"run by ").and_then(|reason| reason.split(['"', ',']).next());
            let by = by.ok_or_else(|| format!("an ignored test names no test that runs it: {line}"))?;
            let name = lines.find_map(|line| line.trim_start().strip_prefix("fn ")?.split('(').next());
            let name = name.ok_or("an ignored test has no name")?;
            if !text.contains(&format!("fn {by}(")) || !text.contains(&format!("{name}\"")) {
                return Err(format!("`{by}` does not run the ignored `{name}`"));
            }
            count += 1;
        }
        Ok(count)
    }
}
