//! Every test, as `cargo test` would run it: the programs are built once and run from here, two beside each other, the
//! longest first. What fails is run once more alone.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::root;

/// Programs beside each other: most of the long ones is waiting.
const AT_ONCE: usize = 2;

/// How long one program may take, seconds; then it is ended. The longest takes a quarter of it.
const PROGRAM_S_MAX: u64 = 20 * 60;

/// Between two looks whether a program has ended, milliseconds.
const LOOK_MS: u64 = 50;

/// The programs that take minutes, the longest first: begun last, one of them would run on alone.
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
    "doc",
];

/// Where each program's output goes, by its full name.
const LOGS: &str = "target/rings";

/// The binary that the rings with a whole program are run with: faster than the one that tests are built with.
const RELEASED: &str = "target/release/keyroll";

/// One test program, or the doc tests.
#[derive(Clone)]
struct Target {
    /// The crate's folder and the target: three targets are called `hostile`.
    name: String,
    program: PathBuf,
    words: Vec<String>,
    folder: PathBuf,
    /// Variables that cargo would set.
    variables: Vec<(String, PathBuf)>,
}

impl Target {
    /// A place in the order.
    fn rank(&self) -> usize {
        LONGEST.iter().position(|name| *name == self.name).unwrap_or(LONGEST.len())
    }

    fn log(&self, turn: &str) -> PathBuf {
        root().join(LOGS).join(format!("{}{turn}.log", self.name.replace('/', "-")))
    }
}

/// How one program ended.
struct Ran {
    target: Target,
    /// Why it counts as failed, if it does.
    failed: Option<String>,
    /// Tests that passed and that failed, by its own word.
    counts: (u64, u64),
    log: PathBuf,
}

/// Builds all, and runs those whose name holds one of these words.
pub(crate) fn some(words: &[String]) -> Result<(), String> {
    let counted = Cell::new((0, 0));
    let ended = test(words, &counted);
    println!("{} passed, {} failed", counted.get().0, counted.get().1);
    ended
}

/// Builds all, runs those whose name holds one of these words (or all), and counts how many tests passed and failed.
pub(crate) fn test(words: &[String], counted: &Cell<(u64, u64)>) -> Result<(), String> {
    let mut targets = build()?;
    targets.push(doc());
    targets.retain(|target| words.is_empty() || words.iter().any(|word| target.name.contains(word)));
    targets.sort_by_key(Target::rank);
    let logs = root().join(LOGS);
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    println!("{} test programs, {AT_ONCE} beside each other; their output: {LOGS}", targets.len());
    let all = side_by_side(targets);
    let (mut passed, mut failed) = (0, 0);
    let mut twice = Vec::new();
    for first in all {
        let last = match &first.failed {
            None => first,
            Some(why) => {
                println!("FAILED ONCE: {} ({why}); it is run once more alone. It said:", first.target.name);
                println!("{}", fs::read_to_string(&first.log).unwrap_or_default());
                run(first.target, "-again")
            }
        };
        passed += last.counts.0;
        failed += last.counts.1;
        let name = &last.target.name;
        match last.failed {
            None if last.log.ends_with(format!("{}-again.log", name.replace('/', "-"))) => {
                println!("NOT STEADY: {name} failed once and passed alone");
            }
            None => {}
            Some(why) => {
                println!("FAILED TWICE: {name} ({why}): {}", last.log.display());
                failed += u64::from(last.counts.1 == 0);
                twice.push(name.clone());
            }
        }
    }
    counted.set((passed, failed));
    if twice.is_empty() { Ok(()) } else { Err(format!("failed twice: {}", twice.join("; "))) }
}

/// Builds every test program and says where each is.
fn build() -> Result<Vec<Target>, String> {
    let words = ["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics"];
    let child = Command::new("cargo").args(words).current_dir(root()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("could not start cargo: {error}"))?;
    let out = child.stdout.take().map(BufReader::new);
    let lines = out.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
    let built: Vec<Value> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the tests could not be built: cargo ended with {status}"));
    }
    Ok(built.iter().filter_map(|artifact| target(artifact, &built)).collect())
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

fn target(artifact: &Value, built: &[Value]) -> Option<Target> {
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
    // The programs of the same package, as its tests look for them.
    let bins = built.iter().filter_map(|other| {
        let same = text(other, "/manifest_path")? == manifest;
        let bin = text(other, "/target/kind/0")? == "bin" && other.pointer("/profile/test")? == false;
        let named = format!("CARGO_BIN_EXE_{}", text(other, "/target/name")?);
        (same && bin).then(|| Some((named, PathBuf::from(text(other, "/executable")?))))?
    });
    let mut variables: Vec<(String, PathBuf)> = bins.collect();
    variables.push(("CARGO_MANIFEST_DIR".into(), folder.clone()));
    let released = root().join(RELEASED);
    if ["cli/kill", "cli/aimed"].contains(&name.as_str()) && released.exists() {
        variables.push(("KEYROLL_PROGRAM".into(), released));
    }
    Some(Target { name, program, words: vec!["--show-output".into()], folder, variables })
}

fn doc() -> Target {
    let words = ["test", "--workspace", "--doc", "--quiet"].map(str::to_owned).to_vec();
    Target { name: "doc".into(), program: "cargo".into(), words, folder: root(), variables: Vec::new() }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn side_by_side(targets: Vec<Target>) -> Vec<Ran> {
    let (queue, done) = (Mutex::new(VecDeque::from(targets)), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = locked(&queue).pop_front();
                    let Some(target) = next else { return };
                    // Run first, then locked: the other lane goes on meanwhile.
                    let ran = run(target, "");
                    locked(&done).push(ran);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one to its end, and says in a line how that was.
fn run(target: Target, turn: &str) -> Ran {
    let (log, began) = (target.log(turn), Instant::now());
    let failed = carry_out(&target, &log).err();
    let counts = counts(&fs::read_to_string(&log).unwrap_or_default());
    let seconds = began.elapsed().as_secs_f64();
    let mark = failed.as_deref().map(|why| format!("  FAILED: {why}")).unwrap_or_default();
    println!("{:<44} {:>5} tests {:>7.1} s{mark}", target.name, counts.0 + counts.1, seconds);
    Ran { target, failed, counts, log }
}

fn carry_out(target: &Target, log: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let out = File::create(log).map_err(told)?;
    let mut command = Command::new(&target.program);
    command.args(&target.words).current_dir(&target.folder).stdin(Stdio::null());
    command.envs(target.variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.stderr(out.try_clone().map_err(told)?).stdout(out).spawn().map_err(told)?;
    let end = Instant::now() + Duration::from_secs(PROGRAM_S_MAX);
    loop {
        match child.try_wait().map_err(told)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() < end => thread::sleep(Duration::from_millis(LOOK_MS)),
            None => {
                child.kill().map_err(told)?;
                child.wait().map_err(told)?;
                return Err(format!("it was ended after {PROGRAM_S_MAX} s"));
            }
        }
    }
}

/// How many tests passed and failed, by the lines `test result: ok. 3 passed; 0 failed; …`.
fn counts(log: &str) -> (u64, u64) {
    let mut sums = (0, 0);
    for line in log.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        let before = |what: &str| {
            let at = words.iter().position(|word| *word == what)?;
            words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
        };
        sums.0 += before("passed").unwrap_or(0);
        sums.1 += before("failed").unwrap_or(0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let log = "running 2 tests\ntest result: ok. 12 passed; 1 failed; 0 ignored\n\
                   test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; finished in 0.1s\n";
        assert_eq!(counts(log), (15, 3));
        assert_eq!(counts("nothing was run"), (0, 0));
    }
}
