//! The rings of tests, with the minutes that each took.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{in_ci, output, root, run};
use crate::{codegen, parts, sim, tidy};

/// The budget of all rings together on two cores, cold; above it a warning, at twice it a failure.
const BUDGET_MINUTES: f64 = 25.0;

/// Seeds of the simulation in a change's test.
const SEEDS: &str = "100000";

type Ring = (&'static str, Box<dyn Fn() -> Result<(), String>>);

fn ring(name: &'static str, body: impl Fn() -> Result<(), String> + 'static) -> Ring {
    (name, Box::new(body))
}

/// Runs every ring that fits a change; `--full` runs all.
pub(crate) fn test(full: bool) -> Result<(), String> {
    let rings = vec![
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
        ring("unit, law, conformance, real parts, transcripts", tests),
        ring("generated documents", || codegen::codegen(true)),
        ring("simulation: seeds", || sim::sim(&words(&["--seeds", SEEDS]))),
        ring("simulation: single faults and pairs", || sim::sim(&words(&["--exhaustive", "2"]))),
        ring("simulation: mutants", || sim::sim(&words(&["--mutants"]))),
        ring("demo", demo),
    ];
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
    if full {
        println!("the nightly simulation: cargo xtask sim --exhaustive 3 and --seeds 10000000");
    }
    report(&times, &failed)
}

/// All tests. What fails is run once more alone, and named: a second failure is a failure, a first one is still told,
/// because rings with real processes under load share two cores here.
fn tests() -> Result<(), String> {
    let failed = failing(&["test", "--workspace", "--quiet", "--no-fail-fast"])?;
    let mut twice = Vec::new();
    for target in failed {
        println!("FAILED ONCE: {target}; it is run once more alone");
        let again: Vec<&str> = ["test", "--quiet"].into_iter().chain(target.split(' ')).collect();
        match run("cargo", &again) {
            Ok(()) => println!("NOT STEADY: {target} failed once and passed alone"),
            Err(_) => twice.push(target),
        }
    }
    if twice.is_empty() { Ok(()) } else { Err(format!("failed twice: {}", twice.join("; "))) }
}

/// Runs `cargo test` and gives the targets that it says have failed, by the words that run each again.
fn failing(words: &[&str]) -> Result<Vec<String>, String> {
    let child = Command::new("cargo").args(words).current_dir(root()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("could not start cargo: {error}"))?;
    let mut failed = Vec::new();
    let errors = child.stderr.take().map(BufReader::new);
    for line in errors.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
        eprintln!("{line}");
        let target = line.strip_prefix("    `").and_then(|rest| rest.strip_suffix('`'));
        failed.extend(target.map(str::to_owned));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() || !failed.is_empty() {
        Ok(failed)
    } else {
        Err(format!("cargo test ended with {status}"))
    }
}

fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|word| (*word).to_owned()).collect()
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
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")));
    }
    if sum > BUDGET_MINUTES {
        println!("WARNING: above the budget of {BUDGET_MINUTES} minutes");
    }
    if in_ci() && sum > 2.0 * BUDGET_MINUTES {
        return Err(format!("above twice the budget of {BUDGET_MINUTES} minutes"));
    }
    Ok(())
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
