//! Runs schedules: `sim --exhaustive 2 | --helpful EVERY | --seeds N | --mutants`; the last line is JSON.
#![expect(
    clippy::disallowed_methods,
    reason = "the command around the simulation reads its arguments and files"
)]

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyroll_sim::{
    FaultPlan, Mutant, SEEDS_OF_WAITS, Size, Tally, helped, pairs, seeds, shrink, singles, triples,
};

const USAGE: &str = "usage: sim [--exhaustive N [--every N]] [--helpful EVERY] [--seeds N [--from N]] [--waits] [--mutants] [--full-pairs] [--triples]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let number = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let known = [
        "--plan",
        "--exhaustive",
        "--every",
        "--helpful",
        "--seeds",
        "--from",
        "--mutants",
        "--full-pairs",
        "--triples",
        "--waits",
    ];
    let every =
        if has("--every") { number("--every").and_then(|it| usize::try_from(it).ok()) } else { Some(1) };
    let every = every.filter(|every| *every > 0);
    let unknown = args.iter().any(|arg| arg.starts_with('-') && !known.contains(&arg.as_str()));
    let (false, false, Some(every)) = (args.is_empty(), unknown, every) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = number("--plan") {
        println!("{}", serde_json::to_string_pretty(&FaultPlan::of(seed)).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let depth = number("--exhaustive").unwrap_or(0);
    let mut all =
        schedules(depth, every, number("--seeds").map(|count| (number("--from").unwrap_or(0), count)), &has);
    if has("--helpful") {
        let every = number("--helpful").and_then(|it| usize::try_from(it).ok()).unwrap_or(1).max(1);
        all.add(told("single faults, then what the rotation names", helped(Size::Full, 12, every)));
    }
    let (mutants, killed, current) = if has("--mutants") { hunted() } else { (0, 0, true) };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seconds = begun.elapsed().as_secs_f64();
    let uncovered = uncovered(&all, depth, number("--seeds"), has("--helpful"));
    if has("--waits") {
        for ((phase, what), count) in &all.coverage.waits {
            println!("{count:>9} {what} in {phase:?}");
        }
    }
    for missing in &uncovered {
        println!("uncovered: {missing}");
    }
    let bad = report(&all);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = all.steps as f64 / seconds / cores as f64;
    println!(
        "{{\"schedules\":{},\"steps\":{},\"violations\":{},\"uncovered\":{},\"mutants\":{mutants},\"killed\":{killed},\"steps_per_second\":{rate:.0}}}",
        all.schedules,
        all.steps,
        all.violations,
        uncovered.len(),
    );
    if bad || !uncovered.is_empty() || killed < mutants || !current {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// What the schedules should have had and did not.
fn uncovered(all: &Tally, depth: u64, seeds: Option<u64>, helpful: bool) -> Vec<String> {
    let mut missing = if depth > 0 || seeds.is_some() { all.coverage.uncovered() } else { Vec::new() };
    if seeds.is_some_and(|count| count >= SEEDS_OF_WAITS) {
        missing.extend(all.coverage.unmet_waits());
    }
    if helpful {
        missing.extend(all.coverage.unhelped());
    }
    missing
}

/// Runs the schedules that were asked for; prints a line for each kind.
fn schedules(
    depth: u64,
    every: usize,
    seeds_wanted: Option<(u64, u64)>,
    has: &dyn Fn(&str) -> bool,
) -> Tally {
    let mut all = Tally::default();
    let mut part = |name: &str, tally: Tally| all.add(told(name, tally));
    if depth >= 1 {
        part("single faults, full world", singles(Size::Full, 12, every));
    }
    if depth >= 2 {
        part("pairs over classes, reduced world", pairs(Size::Reduced, 1, every));
    }
    if has("--full-pairs") {
        part("pairs over classes, full world", pairs(Size::Full, 1, 1));
    }
    if has("--triples") || depth >= 3 {
        part("triples over classes, reduced world", triples(1, 17));
    }
    if let Some((from, count)) = seeds_wanted {
        // Other seeds each day.
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        part("seeds, every 16th twice", seeds(from, from + count, day));
    }
    all
}

/// Prints a line for a kind of schedules.
fn told(name: &str, tally: Tally) -> Tally {
    println!("{name}: {} schedules, {} steps, {} violations", tally.schedules, tally.steps, tally.violations);
    tally
}

/// Hunts every mutant: how many there are, how many were found, and whether the document about them is up to date.
fn hunted() -> (u32, u32, bool) {
    let (mut mutants, mut killed) = (0, 0);
    // A hunt takes minutes.
    let found = keyroll_sim::hunt(|mutant, found| {
        eprintln!("{}: {}", mutant.name, found.map_or("SURVIVES", |found| found.by));
    });
    for (mutant, by) in &found {
        mutants += 1;
        match by {
            Some(by) => {
                killed += 1;
                let what: String = by.what.chars().take(90).collect();
                println!(
                    "{:<30} {:<6} found by {} in {}, {}: {what}",
                    mutant.name, mutant.sentence, by.rule, by.by, by.at
                );
            }
            None => println!("{:<30} {:<6} SURVIVES", mutant.name, mutant.sentence),
        }
    }
    (mutants, killed, documented(&keyroll_sim::table(&found)))
}

/// Writes the document's first section if `UPDATE_DOCS` is set, or compares it. The sections about generated mutants are
/// written by hand.
fn documented(text: &str) -> bool {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/reference/mutants.md");
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let (first, rest) = there.split_at(there.find("\n## ").unwrap_or(there.len()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, format!("{text}{rest}"))
            .inspect_err(|error| eprintln!("could not write {path}: {error}"))
            .is_ok();
    }
    if first != text {
        eprintln!("docs/reference/mutants.md is out of date: UPDATE_DOCS=1 cargo xtask sim --mutants");
    }
    first == text
}

/// Shrinks each violation and writes it to a file that `replay` reads.
fn report(all: &Tally) -> bool {
    for (number, (plan, violation)) in all.kept.iter().enumerate() {
        let small: FaultPlan = shrink(plan, &Mutant::NONE);
        let path = std::env::temp_dir().join(format!("keyroll-plan-{number}.json"));
        let faults: Vec<_> = small.faults.iter().map(|it| (it.at, it.fault)).collect();
        let policy = small.policy.map(|policy| format!(" {policy:?}")).unwrap_or_default();
        println!("{}: {}\n  {:?} {faults:?}{policy}", violation.rule, violation.what, small.scene);
        let text = serde_json::to_string_pretty(&small).unwrap_or_default();
        match std::fs::write(&path, text) {
            Ok(()) => println!("  cargo xtask replay {}", path.display()),
            Err(error) => println!("  could not write {}: {error}", path.display()),
        }
    }
    all.violations > 0
}
