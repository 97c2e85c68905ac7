//! The rings of tests, and how many minutes each took.

use std::cell::Cell;
use std::fs;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::lanes::{self, Unit};
use crate::run::{in_ci, output, root, run};
use crate::targets::Beside;
use crate::targets::{self, Which};
use crate::{parts, sdk, sim, tidy};

/// The time of all rings together on two cores, cold, above which there is a warning.
const BUDGET_MINUTES: f64 = 20.0;

/// The time above which CI fails.
const LIMIT_MINUTES: f64 = 35.0;

/// Seeds of the simulation for a change.
const SEEDS: &str = "12000";

/// Of so many single faults, and first faults of a pair, a change's test tries one.
const FAULTS_EVERY: &str = "61";

/// Of so many single faults a change's test tries one with an operator who does what the rotation names, forward and back.
const HELPED_EVERY: &str = "97";

/// The program that is built together with the tests.
const BUILT: &str = "target/debug/keyroll";

/// The chore that runs a program's demo.
pub(crate) const DEMO: &str = "demo";

/// Busy processes in parallel with the demo: twice as many as the cores of the budget.
const BUSY: usize = 4;

/// The ring that builds the programs and runs every test.
const TESTS: &str = "unit, law, conformance, real parts, transcripts, simulation";

/// The minutes of the last run, for the figures.
const MINUTES: &str = "target/minutes";

type Ring = (&'static str, Box<dyn Fn() -> Result<(), String>>);

fn ring(name: &'static str, body: impl Fn() -> Result<(), String> + 'static) -> Ring {
    (name, Box::new(body))
}

/// Runs every ring for a change.
pub(crate) fn test() -> Result<(), String> {
    let counted = Rc::new(Cell::new((0, 0)));
    let tests = counted.clone();
    let rings = vec![
        ring("parts", parts::install),
        ring("tidy", tidy::tidy),
        ring("format", || run("cargo", &["fmt", "--all", "--check"])),
        ring("dependencies", tidy::dependencies),
        ring("licences and sources", parts::licences_checked),
        // Building them is the lint. It includes the tests that compare docs/reference with the types.
        ring(TESTS, move || targets::test(&Which::Change, None, beside(), &tests)),
    ];
    lanes::forget_logs();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let (mut failed, mut reasons) = (Vec::new(), Vec::new());
    for (name, body) in rings {
        println!("── {name}");
        let begun = Instant::now();
        if let Err(why) = body() {
            println!("FAILED {name}");
            failed.push(name);
            reasons.push(why);
        }
        times.push((name, begun.elapsed()));
    }
    let reported = report(&times, &failed);
    // At the end: of a long output, often only the end is kept.
    for (name, why) in failed.iter().zip(reasons) {
        println!("\nFAILED {name}: {why}");
    }
    let (passed, broken) =
        in_all(counted.get(), &times.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &failed);
    println!("{passed} passed, {broken} failed");
    reported
}

/// How many tests and rings passed and failed. The ring of tests is counted by its tests, unless it ended before any
/// ran; every other ring counts as one.
fn in_all((passed, broken): (u64, u64), rings: &[&str], failed: &[&str]) -> (u64, u64) {
    let ran = passed + broken > 0;
    let counts = |name: &&&str| !(ran && **name == TESTS);
    let broken_rings = failed.iter().filter(counts).count();
    let whole = rings.iter().filter(counts).count() - broken_rings;
    (passed + whole as u64, broken + broken_rings as u64)
}

/// What runs beside the tests: the Python package, the demo, and what computes while tests wait.
fn beside() -> Vec<Beside> {
    let sim = |name: &str, words: &[&str]| Unit::background(name, sim::BUILT, words);
    let demo = Unit::plain(DEMO, &root().join("target/debug/xtask"), &[DEMO, BUILT]);
    // In one run, because together they must reach every fault in every phase; those with a helpful operator have a list of
    // their own.
    let words = ["--exhaustive", "2", "--every", FAULTS_EVERY, "--seeds", SEEDS];
    let helped = ["--helpful", HELPED_EVERY];
    let mut all: Vec<Beside> = sdk::python().into_iter().map(|unit| Beside { unit, needs: None }).collect();
    all.push(Beside { unit: sim("simulation/schedules", &words), needs: Some("sim") });
    all.push(Beside { unit: sim("simulation/helped", &helped), needs: Some("sim") });
    all.push(Beside { unit: demo, needs: Some("keyroll") });
    all
}

fn report(times: &[(&str, Duration)], failed: &[&str]) -> Result<(), String> {
    println!("\n{:<52} minutes", "ring");
    let mut sum = 0.0;
    for (name, time) in times {
        let minutes = time.as_secs_f64() / 60.0;
        sum += minutes;
        let mark = if failed.contains(name) { "FAILED" } else { "" };
        println!("{name:<52} {minutes:>7.1} {mark}");
    }
    println!("{:<52} {sum:>7.1}", "in all");
    let minutes = times.iter().map(|(name, time)| format!("{name} {:.1}", time.as_secs_f64() / 60.0));
    let line = format!("{sum:.1} minutes: {}", minutes.collect::<Vec<_>>().join(", "));
    if let Err(error) = fs::write(root().join(MINUTES), line) {
        println!("{MINUTES}: {error}");
    }
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")));
    }
    if sum > BUDGET_MINUTES {
        println!("WARNING: above the budget of {BUDGET_MINUTES} minutes");
    }
    if in_ci() && sum > LIMIT_MINUTES {
        return Err(format!("above the limit of {LIMIT_MINUTES} minutes"));
    }
    Ok(())
}

/// The minutes of the last run, in total and by ring.
pub(crate) fn last_minutes() -> Option<String> {
    fs::read_to_string(root().join(MINUTES)).ok()
}

/// Processes that only compute, until this is dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Result<Self, String> {
        let mut busy = Self(Vec::new());
        for _ in 0..BUSY {
            let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
            busy.0.push(child.map_err(|error| format!("could not start sh: {error}"))?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // A process that has ended needs nothing.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The README's first command, on an idle machine and beside busy processes.
pub(crate) fn released_demo() -> Result<(), String> {
    const RELEASED: &str = "target/release/keyroll";
    run("cargo", &["build", "--release", "--quiet", "-p", "keyroll"])?;
    demo(RELEASED)?;
    let _busy = Busy::start()?;
    demo(RELEASED)
}

/// Runs a program's demo and checks its summary.
pub(crate) fn demo(program: &str) -> Result<(), String> {
    let lines = output(program, &["demo", "--json"])?;
    let last = lines.lines().last().unwrap_or_default();
    println!("{last}");
    let wanted = [r#""outcome":"done""#, r#""failed":0"#, r#""dead_confirmed":true"#];
    let compact: String = last.split_whitespace().collect();
    for word in wanted {
        if !compact.contains(word) {
            return Err(format!("the summary does not say {word}"));
        }
    }
    if compact.contains(r#""blocked_by":null"#) {
        return Err("the forgotten worker blocked nothing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_unit_is_counted_once() {
        let rings = ["tidy", "lint", TESTS, "demo"];
        assert_eq!(in_all((500, 0), &rings, &[]), (503, 0));
        assert_eq!(in_all((500, 1), &rings, &[TESTS]), (503, 1), "its ring is not another failure");
        assert_eq!(in_all((500, 2), &rings, &["tidy", TESTS]), (502, 3));
        assert_eq!(in_all((0, 0), &rings, &[TESTS]), (3, 1), "the tests could not be built");
    }
}
