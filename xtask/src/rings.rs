//! The rings of tests, with the minutes that each took.

use std::cell::Cell;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::run::{in_ci, output, run};
use crate::{kill, parts, sim, targets, tidy};

/// The budget of all rings together on two cores, cold; above it a warning.
const BUDGET_MINUTES: f64 = 45.0;

/// Above it CI fails.
const LIMIT_MINUTES: f64 = 80.0;

/// Seeds of the simulation in a change's test.
const SEEDS: &str = "100000";

/// Those of a night.
const SEEDS_NIGHT: &str = "10000000";

/// Busy processes beside the demo: twice as many as the budget has cores.
const BUSY: usize = 4;

type Ring = (&'static str, Box<dyn Fn() -> Result<(), String>>);

fn ring(name: &'static str, body: impl Fn() -> Result<(), String> + 'static) -> Ring {
    (name, Box::new(body))
}

/// Runs every ring that fits a change; `--full` also those of a night.
pub(crate) fn test(full: bool) -> Result<(), String> {
    let counted = Rc::new(Cell::new((0, 0)));
    let tests = counted.clone();
    let mut rings = vec![
        ring("parts", parts::install),
        ring("tidy", tidy::tidy),
        ring("format", || run("cargo", &["fmt", "--all", "--check"])),
        ring("lint", || {
            run("cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
        }),
        ring("dependencies", tidy::dependencies),
        ring("licences and sources", parts::deny),
        ring("release build", || {
            run("cargo", &["build", "--release", "--quiet", "-p", "keyroll", "-p", "keyroll-sim"])
        }),
        // Among them those that compare what is generated under docs/ with what the types say.
        ring("unit, law, conformance, real parts, transcripts", move || targets::test(&[], &tests)),
        ring("simulation: seeds", || sim::sim(&words(&["--seeds", SEEDS]))),
        ring("simulation: single faults and pairs", || sim::sim(&words(&["--exhaustive", "2"]))),
        ring("simulation: mutants", || sim::sim(&words(&["--mutants"]))),
        ring("demo", demo),
        ring("demo beside busy processes", || Busy::start().and_then(|_busy| demo())),
    ];
    if full {
        rings.extend(night());
    }
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failed = Vec::new();
    for (name, body) in rings {
        println!("── {name}");
        let begun = Instant::now();
        if let Err(why) = body() {
            println!("FAILED {name}: {why}");
            failed.push(name);
        }
        times.push((name, begun.elapsed()));
    }
    let reported = report(&times, &failed, full);
    let (passed, broken) = counted.get();
    let whole = times.len() - failed.len();
    println!("{} passed, {} failed", passed + whole as u64, broken + failed.len() as u64);
    reported
}

/// What takes hours.
fn night() -> Vec<Ring> {
    vec![
        ring("kill ring of a night", || kill::kill(&[])),
        ring("every issuer, every day", issuers),
        ring("every manager's service under load", managers),
        ring("every source of an agent's key", agents),
        ring("simulation: pairs on the full world", || sim::sim(&words(&["--full-pairs"]))),
        ring("simulation: triples", || sim::sim(&words(&["--triples"]))),
        ring("simulation: seeds of a night", || sim::sim(&words(&["--seeds", SEEDS_NIGHT]))),
    ]
}

/// Whole rotations with every shipped spec, in bad weather and in emergencies too.
fn issuers() -> Result<(), String> {
    let words =
        ["KEYROLL_ISSUERS=all", "cargo", "test", "-p", "keyroll", "--test", "issuers", "--", "--nocapture"];
    run("env", &words)
}

/// Every row of docs/reference/managers.md, in all its courses.
fn managers() -> Result<(), String> {
    let words = [
        "KEYROLL_MATRIX=full",
        "cargo",
        "test",
        "--quiet",
        "-p",
        "keyroll",
        "--test",
        "matrix",
        "--",
        "--nocapture",
    ];
    run("env", &words)
}

/// Every source from which an agent takes its key, with the agent itself.
fn agents() -> Result<(), String> {
    let words = [
        "KEYROLL_AGENTS=full",
        "cargo",
        "test",
        "-p",
        "keyroll",
        "--test",
        "openclaw",
        "--test",
        "litellm",
        "--",
        "--nocapture",
        "--test-threads",
        "1",
    ];
    run("env", &words)
}

fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|word| (*word).to_owned()).collect()
}

fn report(times: &[(&str, Duration)], failed: &[&str], full: bool) -> Result<(), String> {
    println!("\n{:<52} minutes", "ring");
    let mut sum = 0.0;
    for (name, time) in times {
        let minutes = time.as_secs_f64() / 60.0;
        sum += minutes;
        let mark = if failed.contains(name) { "FAILED" } else { "" };
        println!("{name:<52} {minutes:>7.1} {mark}");
    }
    println!("{:<52} {sum:>7.1}", "in all");
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")));
    }
    if sum > BUDGET_MINUTES && !full {
        println!("WARNING: above the budget of {BUDGET_MINUTES} minutes");
    }
    if in_ci() && !full && sum > LIMIT_MINUTES {
        return Err(format!("above the limit of {LIMIT_MINUTES} minutes"));
    }
    Ok(())
}

/// Processes that do nothing but compute, until this is dropped.
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
            // One that has ended already needs nothing.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The demo's own word, by its summary.
fn demo() -> Result<(), String> {
    let lines = output("target/release/keyroll", &["demo", "--json"])?;
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
