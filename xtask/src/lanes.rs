//! Test units that run in parallel: another one begins whenever the processors have been idle, because many units
//! mostly wait. Each runs in a [`World`] of its own. While the programs are still being built, a unit begins only then: the
//! others wait for the end of the build.
//!
//! Units that compute and start no keyroll, such as the simulation, run in the background: one at a time, with the
//! processor time that no other unit uses.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::run::root;
use crate::world::World;

/// How many units always run in parallel.
const AT_ONCE_MIN: usize = 4;

/// How many units may run in parallel while processors are idle.
const AT_ONCE_MAX: usize = 8;

/// Units that start several hosts, each with a service manager of its own, by the beginnings of their names.
const OF_HOSTS: [&str; 2] = ["cli/fleet::", "testkit/ssh_hosts"];

/// How many of them run in parallel. Three hosts have 27 instances of inotify, and a user has 128
/// (`fs.inotify.max_user_instances`): a service manager that gets none ends as soon as it starts.
const OF_HOSTS_AT_ONCE: usize = 3;

/// The idle share of all processors, in percent, above which another unit begins.
const IDLE_PERCENT_MIN: u64 = 30;

/// How long the idle share is measured, milliseconds; also the pause after a unit was begun because of it.
const MEASURE_MS: u64 = 2000;

/// How long a unit of a change's test may take before it is ended, seconds.
pub(crate) const SECONDS_MAX: u64 = 10 * 60;

/// The same in the background, where it may get no processor time for long.
const BACKGROUND_SECONDS_MAX: u64 = 30 * 60;

/// How long a unit should take, seconds: a longer one is cut, or left to a part of the night.
const UNIT_S_AIM: f64 = 60.0;

/// How many of the slowest units are printed at the end.
const SLOWEST: usize = 10;

/// The time between two checks whether a unit has ended, milliseconds.
const LOOK_MS: u64 = 50;

/// Parts of a second in which Linux counts processor time (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// How many lines of a failed unit are printed; its whole output stays in its file.
const EXCERPT_LINES_MAX: usize = 60;
const LINES_BEFORE_PANIC: usize = 20;

/// The folder for each unit's output, in a file with its name.
const LOGS: &str = "target/rings";

/// One test program, or one module of it.
#[derive(Clone)]
pub(crate) struct Unit {
    /// The crate's folder and the module, or the kind of the program.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) words: Vec<String>,
    pub(crate) folder: PathBuf,
    /// Variables that cargo would set.
    pub(crate) variables: Vec<(String, PathBuf)>,
    /// Whether it gets only the processor time that no other unit uses.
    pub(crate) background: bool,
    /// How many tests it must have run, if it is a test program.
    pub(crate) tests: Option<TestCount>,
    /// How long it may take before it is ended, seconds.
    pub(crate) seconds_max: u64,
    /// A lower one begins earlier.
    pub(crate) rank: usize,
}

/// What there is to run.
pub(crate) enum Supply {
    /// These now; more may come.
    More(Vec<Unit>),
    /// No more come.
    End,
    /// Nothing else is to be begun.
    Failed,
}

/// How many tests a unit runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestCount {
    /// All of the program, however many these are.
    All,
    /// Those that its words name.
    Named(u64),
    /// At least one, of Python's `unittest`, which may find none and succeed.
    Unittest,
}

impl Unit {
    /// A program that computes, in the background.
    pub(crate) fn background(name: &str, program: &str, words: &[&str]) -> Self {
        let plain = Self::plain(name, Path::new(program), words);
        Self { background: true, seconds_max: BACKGROUND_SECONDS_MAX, ..plain }
    }

    /// A program that is no test program.
    pub(crate) fn plain(name: &str, program: &Path, words: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            folder: root(),
            variables: Vec::new(),
            background: false,
            tests: None,
            seconds_max: SECONDS_MAX,
            rank: 0,
        }
    }
}

/// How one unit ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    /// Why it counts as failed, if it does.
    pub(crate) failed: Option<String>,
    /// What its failed tests printed; empty if it passed.
    pub(crate) excerpt: String,
    /// How many tests passed and failed, according to its own output.
    pub(crate) counts: (u64, u64),
    /// By the clock; of the processors, if it ran in the background.
    seconds: f64,
    /// What its tests say that they left out on this machine.
    left_out: Vec<String>,
}

struct Running {
    unit: Unit,
    child: Child,
    /// Its folder goes away with it.
    _world: World,
    log: PathBuf,
    began: Instant,
    /// The processor time of the unit and of the processes that it started and awaited, in ticks.
    ticks: u64,
}

/// Removes the outputs of earlier runs: they are not read as those of this one. What cannot be removed is overwritten.
pub(crate) fn forget_logs() {
    drop(fs::remove_dir_all(root().join(LOGS)));
}

/// What the units have printed since their outputs were forgotten.
pub(crate) fn printed() -> String {
    let logs = fs::read_dir(root().join(LOGS)).into_iter().flatten().flatten();
    logs.filter_map(|log| fs::read_to_string(log.path()).ok()).collect()
}

/// Runs all units, those with a lower rank first; prints a line for each. `own` is the program of these chores.
pub(crate) fn run(own: &Path, supply: &mut dyn FnMut() -> Supply) -> Result<Vec<Ended>, String> {
    let logs = root().join(LOGS);
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    println!("{AT_ONCE_MIN} to {AT_ONCE_MAX} units in parallel; their output: {LOGS}");
    let (mut background, mut left): (VecDeque<Unit>, VecDeque<Unit>) = Default::default();
    let (mut running, mut ended): (Vec<Running>, Vec<Ended>) = (Vec::new(), Vec::new());
    let mut idle = Idle::measure();
    let mut supplied = false;
    while !supplied || !left.is_empty() || !background.is_empty() || !running.is_empty() {
        match if supplied { Supply::End } else { supply() } {
            Supply::More(units) => {
                let (behind, before): (Vec<Unit>, Vec<Unit>) =
                    units.into_iter().partition(|unit| unit.background);
                background.extend(behind);
                left.extend(before);
                left.make_contiguous().sort_by_key(|unit| unit.rank);
            }
            Supply::End => supplied = true,
            Supply::Failed => {
                (left, background) = Default::default();
                supplied = true;
            }
        }
        let behind = running.iter().filter(|one| one.unit.background).count();
        let before = running.len() - behind;
        let idle_now = before < AT_ONCE_MAX && idle.is_idle();
        let next = if behind == 0 { background.pop_front() } else { None };
        let begins = (supplied && before < AT_ONCE_MIN) || idle_now;
        let next = next.or_else(|| if begins { take_next(&mut left, &running) } else { None });
        if let Some(unit) = next {
            match start(own, &unit, &logs) {
                Ok(one) => running.push(one),
                Err(why) => {
                    println!("FAILED: {} could not start: {why}", unit.name);
                    ended.push(Ended {
                        name: unit.name,
                        failed: Some(why),
                        excerpt: String::new(),
                        counts: (0, 0),
                        seconds: 0.0,
                        left_out: Vec::new(),
                    });
                }
            }
            idle = Idle::measure();
            continue;
        }
        thread::sleep(Duration::from_millis(LOOK_MS));
        let mut at = 0;
        while let Some(one) = running.get_mut(at) {
            match one.look() {
                Some(failed) => {
                    let one = running.swap_remove(at);
                    ended.push(one.report(failed));
                }
                None => at += 1,
            }
        }
    }
    print_slowest(&ended);
    print_left_out(&ended);
    Ok(ended)
}

/// The first unit that may begin beside those that run.
fn take_next(left: &mut VecDeque<Unit>, running: &[Running]) -> Option<Unit> {
    let full = running.iter().filter(|one| of_hosts(&one.unit)).count() >= OF_HOSTS_AT_ONCE;
    let at = left.iter().position(|unit| !(full && of_hosts(unit)))?;
    left.remove(at)
}

fn of_hosts(unit: &Unit) -> bool {
    OF_HOSTS.iter().any(|name| unit.name.starts_with(name))
}

fn print_slowest(ended: &[Ended]) {
    let mut slowest: Vec<&Ended> = ended.iter().collect();
    slowest.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    println!("the slowest units:");
    for one in slowest.into_iter().take(SLOWEST) {
        let mark = if one.seconds > UNIT_S_AIM { "  above 60 s" } else { "" };
        println!("{:>7.1} s  {}{mark}", one.seconds, one.name);
    }
}

/// What the tests left out, as root or a kernel can refuse it: nobody has to believe that it was tested.
fn print_left_out(ended: &[Ended]) {
    if ended.iter().any(|one| !one.left_out.is_empty()) {
        println!("left out on this machine:");
    }
    for (one, what) in ended.iter().flat_map(|one| one.left_out.iter().map(move |what| (one, what))) {
        println!("  {}: {what}", one.name);
    }
}

/// What a test says that it leaves out, by its lines that begin so.
fn left_out(output: &str) -> Vec<String> {
    let what =
        |line: &str| Some(line.strip_prefix("left out")?.trim_start_matches([':', ',', ' ']).to_owned());
    let all: BTreeSet<String> = output.lines().filter_map(what).collect();
    all.into_iter().collect()
}

fn start(own: &Path, unit: &Unit, logs: &Path) -> Result<Running, String> {
    let log = logs.join(format!("{}.log", unit.name.replace('/', "-")));
    let reason = |error: std::io::Error| error.to_string();
    let out = File::create(&log).map_err(reason)?;
    let world = World::new().map_err(reason)?;
    let mut command = world.command(own, unit.background, &unit.program, &unit.words);
    command.current_dir(&unit.folder);
    command.envs(unit.variables.iter().map(|(name, value)| (name, value)));
    let child = command.stderr(out.try_clone().map_err(reason)?).stdout(out).spawn().map_err(reason)?;
    Ok(Running { unit: unit.clone(), child, _world: world, log, began: Instant::now(), ticks: 0 })
}

impl Running {
    /// `None` while it runs; afterwards why it failed, if it did.
    fn look(&mut self) -> Option<Option<String>> {
        let seconds = self.unit.seconds_max;
        let pid = Pid::from_child(&self.child);
        // Not awaited yet: until then, its processor time can be read.
        let ended =
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
        let late = match ended {
            Ok(None) if self.began.elapsed() < Duration::from_secs(seconds) => return None,
            Ok(None) => {
                // One that has ended since then needs nothing.
                let _ = kill_process_group(pid, Signal::KILL);
                Some(format!("not done after {seconds} s; it was ended"))
            }
            Ok(Some(_)) => None,
            Err(error) => return Some(Some(error.to_string())),
        };
        self.ticks = ticks(self.child.id()).unwrap_or(0);
        match self.child.wait() {
            Ok(status) if status.success() => Some(late),
            Ok(status) => Some(Some(late.unwrap_or_else(|| status.to_string()))),
            Err(error) => Some(Some(error.to_string())),
        }
    }

    /// Prints how it ended, and its seconds by the clock and of the processors.
    fn report(self, failed: Option<String>) -> Ended {
        let name = self.unit.name;
        let output = fs::read_to_string(&self.log).unwrap_or_default();
        let told = test_counts(&output);
        let (passed, broken, ignored) = told.unwrap_or_default();
        let counts = (passed, broken);
        let ran = match self.unit.tests {
            None => true,
            Some(TestCount::All) => told.is_some(),
            Some(TestCount::Named(wanted)) => passed + broken + ignored == wanted,
            Some(TestCount::Unittest) => ran_unittests(&output),
        };
        // A program that ends by itself in a test would leave out the rest.
        let failed = failed.or_else(|| (!ran).then(|| "it did not say that all its tests ran".to_owned()));
        let (wall, processor) = (self.began.elapsed().as_secs_f64(), self.ticks as f64 / TICKS_PER_S);
        let mark = failed.as_deref().map(|why| format!("  FAILED: {why}")).unwrap_or_default();
        println!(
            "{name:<72} {:>4} tests {wall:>7.1} s {processor:>7.1} processor s{mark}",
            counts.0 + counts.1
        );
        if let (true, None, Some(last)) = (self.unit.background, &failed, output.lines().last()) {
            println!("    {last}");
        }
        let excerpt = if failed.is_some() { excerpt(&output) } else { String::new() };
        // By the clock one in the background takes as long as the others leave no processor to it.
        let seconds = if self.unit.background { processor } else { wall };
        Ended { name, failed, excerpt, counts, seconds, left_out: left_out(&output) }
    }
}

/// What the failed tests of a program printed, without backtraces; the end of an output that does not say it.
fn excerpt(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    // The outputs of failed tests begin behind the last but one such line; the last one begins their names.
    let heads = lines.iter().enumerate().filter(|(_, line)| **line == "failures:").map(|(at, _)| at);
    let from = heads.rev().nth(1);
    let kept: Vec<&str> = match from {
        Some(from) => lines.iter().skip(from + 1).filter(|line| told(line)).copied().collect(),
        None => lines.iter().skip(lines.len().saturating_sub(EXCERPT_LINES_MAX)).copied().collect(),
    };
    // A test may print much before it fails.
    let panic = kept.iter().position(|line| line.contains("panicked at")).unwrap_or_default();
    let skipped = panic.saturating_sub(LINES_BEFORE_PANIC).min(kept.len().saturating_sub(EXCERPT_LINES_MAX));
    kept.into_iter().skip(skipped).take(EXCERPT_LINES_MAX).collect::<Vec<_>>().join("\n")
}

fn told(line: &str) -> bool {
    !line.is_empty() && !is_backtrace(line)
}

/// A line of a backtrace, such as `   0: function` and `             at file:1:2`.
fn is_backtrace(line: &str) -> bool {
    let frame = line.trim_start();
    let number = frame.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    (line.starts_with(' ') && (number || frame.starts_with("at ")))
        || line == "stack backtrace:"
        || line.starts_with("note: ")
}

/// The ticks of a process and of its awaited children, from `/proc/PID/stat`; `None` if it cannot be read.
fn ticks(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have blanks and parentheses; the fields after it begin with the third.
    let (_, fields) = text.rsplit_once(')')?;
    let fields = fields.split_whitespace().skip(11).take(4);
    fields.map(str::parse::<u64>).sum::<Result<u64, _>>().ok()
}

/// The idle time of all processors since a moment.
struct Idle {
    since: Instant,
    before: Option<(u64, u64)>,
}

impl Idle {
    fn measure() -> Self {
        Self {
            since: Instant::now(),
            before: processors(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        }
    }

    /// Whether the processors were idle enough; measured anew after each whole measurement.
    fn is_idle(&mut self) -> bool {
        if self.since.elapsed() < Duration::from_millis(MEASURE_MS) {
            return false;
        }
        let before = self.before;
        *self = Self::measure();
        let (Some((idle_before, all_before)), Some((idle, all))) = (before, self.before) else {
            return false;
        };
        let (idle, all) = (idle.saturating_sub(idle_before), all.saturating_sub(all_before));
        all > 0 && idle * 100 >= all * IDLE_PERCENT_MIN
    }
}

/// The idle ticks, with those of the background, and all ticks of the line `cpu user nice system idle iowait …`.
fn processors(stat: &str) -> Option<(u64, u64)> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let fields: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    Some((fields.get(1)? + fields.get(3)? + fields.get(4)?, fields.iter().sum()))
}

/// How many tests of a program passed, failed and were ignored, by its last line `test result: ok. 3 passed; 0 failed; …`,
/// if it has one. Such a line before it is from the output of a test.
fn test_counts(log: &str) -> Option<(u64, u64, u64)> {
    let line = log.lines().rev().find_map(|line| line.strip_prefix("test result: "))?;
    let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    let before = |what: &str| {
        let at = words.iter().position(|word| *word == what)?;
        words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
    };
    Some((before("passed")?, before("failed")?, before("ignored").unwrap_or(0)))
}

/// Whether Python's `unittest` ran a test, by its line `Ran 3 tests in 0.1s`.
fn ran_unittests(log: &str) -> bool {
    let count = |line: &str| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<u64>().ok();
    log.lines().rev().find_map(count).is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_result_of_the_program_itself_counts() {
        let log = "running 5 tests\ntest result: ok. 12 passed; 1 failed; 0 ignored\n\
                   test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; finished in 0.1s\n";
        assert_eq!(test_counts(log), Some((3, 2, 0)));
        assert_eq!(test_counts("nothing was run"), None);
    }

    /// Red if what a test left out is passed over in silence.
    #[test]
    fn what_a_test_left_out_is_told() {
        let output = "left out: strace may not trace\ntest a ... ok\nleft out, because files: whose pm2\n\
                      it was left out: no\nleft out: strace may not trace\n";
        assert_eq!(left_out(output), ["because files: whose pm2", "strace may not trace"]);
    }

    /// Red if a run of Python's tests that found none is a run.
    #[test]
    fn python_tests_ran_if_there_was_one() {
        assert!(ran_unittests("..\n----\nRan 2 tests in 0.004s\n\nOK (skipped=1)\n"));
        assert!(ran_unittests("Ran 1 test in 0.004s\n\nOK\n"));
        assert!(!ran_unittests("\n----\nRan 0 tests in 0.000s\n\nOK\n") && !ran_unittests(""));
    }

    #[test]
    fn the_excerpt_of_a_failed_program_is_what_its_failed_tests_printed() {
        let log = "successes:\n---- fine stdout ----\nlong\n\nfailures:\n\n---- bad stdout ----\n\nit is 3\n\
                   stack backtrace:\n   0: core::panic\n             at ./a.rs:1:2\nnote: more\n\nfailures:\n    bad\n";
        assert_eq!(excerpt(log), "---- bad stdout ----\nit is 3\nfailures:\n    bad");
        assert_eq!(excerpt("a\nb: killed"), "a\nb: killed");
        let long = "x\n".repeat(1000);
        assert_eq!(excerpt(&long).lines().count(), EXCERPT_LINES_MAX);
        let much = format!("{long}\nthread 'a' panicked at b.rs:1:1:\nit is 3");
        assert!(excerpt(&much).ends_with("b.rs:1:1:\nit is 3"), "red if only the beginning is shown");
    }

    #[test]
    fn idle_ticks_are_those_of_idling_of_waiting_for_disks_and_of_the_background() {
        assert_eq!(processors("cpu  10 1 20 300 5 0 4 0 0 0\ncpu0 1 2 3\n"), Some((306, 340)));
        assert_eq!(processors(""), None);
    }

    #[test]
    fn a_unit_that_fails_is_failed_and_what_it_computed_is_counted() {
        let unit = |name: &str, script: &str| Unit {
            background: name.ends_with("fails"),
            tests: Some(TestCount::Named(4)),
            ..Unit::plain(name, Path::new("sh"), &["-c", script])
        };
        let fails = unit("xtask/fails", "echo 'test result: FAILED. 1 passed; 2 failed;'; exit 3");
        let passes = unit("xtask/passes", "echo 'test result: ok. 4 passed; 0 failed;'");
        let stops = unit("xtask/stops", "echo 'test result: ok. 3 passed; 0 failed;'");
        let mut parts =
            [Supply::End, Supply::More(vec![fails, passes]), Supply::More(vec![stops])].into_iter();
        let mut supply = || parts.next_back().unwrap();
        let mut ended = run(&root().join("target/debug/xtask"), &mut supply).unwrap();
        ended.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(ended[2].failed.is_some(), "it ran three of four tests");
        assert_eq!(ended[0].counts, (1, 2));
        assert!(ended[0].failed.as_deref().is_some_and(|why| why.contains('3')));
        assert!(ended[0].excerpt.contains("1 passed; 2 failed") && ended[1].excerpt.is_empty());
        assert_eq!((ended[1].counts, ended[1].failed.as_deref()), ((4, 0), None));
        assert!(ticks(std::process::id()).is_some());
    }
}
