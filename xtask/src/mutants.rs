//! Generated mutants: made from the code of `rotation` and `engine`, and run by number in one build.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutant is about few kinds of syntax of many")]

mod build;
mod collect;
mod equivalents;
mod expressions;
mod facts;
mod fate;
mod mutation;
mod page;
mod replacements;
mod report;
mod rewrite;
mod selection;
mod statements;
#[cfg(test)]
mod tests;
mod workers;
mod workspace;

use std::collections::BTreeMap;
use std::time::Instant;

use self::fate::Fate;
use self::mutation::Mutation;
use self::report::Report;
use self::selection::Selection;
use self::workers::Simulation;

const USAGE: &str =
    "usage: cargo xtask mutants --all | --sample N | --only NUMBER|FILE|FILE:LINE | --equivalents | --list
       [--json] [--at-least PER_MILLE] [--seeds N] [--each N]";

/// Random schedules in the list.
const SEEDS: u64 = 4_000;

/// Schedules of each kind that one mutant goes through.
const EACH_MAX: u64 = 250;

/// Runs generated mutants.
pub(crate) fn mutants(words: &[String]) -> Result<(), String> {
    let begun = Instant::now();
    let generated = workspace::generate()?;
    if words.iter().any(|word| word == "--list") {
        for it in &generated.mutations {
            println!("{} {} {}", it.number, it.place(), it.identity());
        }
        return Ok(());
    }
    let selection = Selection::of(words).ok_or(USAGE)?;
    workspace::prepare()?;
    let dropped = build::settle(&generated)?;
    let mut all: Vec<&Mutation> =
        generated.mutations.iter().filter(|it| !dropped.contains(&it.number)).collect();
    let listed = equivalents::equivalents()?;
    equivalents::refuse_stale(&listed, &all)?;
    all.retain(|it| listed.contains_key(&it.identity()) == (selection == Selection::Equivalents));
    let chosen = selection.from(all)?;
    let simulation = simulation(words)?;
    let mut tests = build::programs(&TESTS)?;
    // Cargo also builds the commands of that package.
    let recordings = build::programs(&RECORDINGS)?.into_iter().filter(build::Program::has_recordings);
    tests.extend(recordings);
    let build_seconds = begun.elapsed().as_secs();
    let begun = Instant::now();
    let (schedules, broken) = simulation.reach()?;
    eprintln!("{} mutants, {schedules} schedules", chosen.len());
    let fates = found(&simulation, &tests, &chosen)?;
    let report = Report {
        fates,
        dropped: dropped.len(),
        equivalent: listed.len(),
        schedules,
        broken,
        build_seconds,
        run_seconds: begun.elapsed().as_secs(),
    };
    let json = serde_json::to_string_pretty(&report.json()).map_err(|error| error.to_string())?;
    workspace::write(&workspace::below("report.json"), &json)?;
    if words.iter().any(|word| word == "--json") {
        println!("{json}")
    } else {
        report.print()
    }
    if selection == Selection::All && std::env::var_os("UPDATE_DOCS").is_some() {
        page::write(&report)?;
    }
    match selection {
        Selection::Equivalents => report.refuse_found(),
        Selection::All | Selection::Sample(_) | Selection::Only(_) => {
            report.refuse_below(number(words, "--at-least").and_then(|it| it.try_into().ok()).unwrap_or(0))
        }
    }
}

/// The number after this word.
fn number(words: &[String], name: &str) -> Option<u64> {
    let at = words.iter().position(|word| word == name)?;
    words.get(at + 1)?.parse().ok()
}

/// The recordings of what the protocol and its driver do. They come last: they notice a mutant without judging it.
const RECORDINGS: [&str; 6] = ["test", "--no-run", "-p", "keyroll-sim", "--test", fate::RECORDINGS];

/// The tests of the mutated crates.
const TESTS: [&str; 8] =
    ["test", "--no-run", "-p", "keyroll-rotation", "-p", "keyroll-engine", "--lib", "--tests"];

/// The fate of each mutant: in the simulation, and for those that it does not find, in the tests.
fn found<'a>(
    simulation: &Simulation,
    tests: &[build::Program],
    chosen: &[&'a Mutation],
) -> Result<Vec<(&'a Mutation, Fate)>, String> {
    let numbers: Vec<u32> = chosen.iter().map(|it| it.number).collect();
    let fates = simulation.run(&numbers, |fate| print_fate(fate, chosen))?;
    let mut fates: BTreeMap<u32, Fate> = fates.into_iter().map(|fate| (fate.number, fate)).collect();
    let left: Vec<u32> = fates.values().filter(|fate| fate.survives()).map(|fate| fate.number).collect();
    eprintln!("{} mutants survived the simulation, and are run with the tests", left.len());
    for fate in workers::tests(tests, &left, |fate| print_fate(fate, chosen))? {
        if fate.by_test() {
            fates.insert(fate.number, fate);
        }
    }
    Ok(chosen.iter().filter_map(|it| Some((*it, fates.remove(&it.number)?))).collect())
}

fn simulation(words: &[String]) -> Result<Simulation, String> {
    let mut built = build::programs(&["build", "-p", "keyroll-sim", "--bin", "mutants"])?;
    let program = built.pop().ok_or("the copy has no program that runs mutants")?.path;
    Ok(Simulation {
        program,
        seeds: number(words, "--seeds").unwrap_or(SEEDS),
        each_max: number(words, "--each").unwrap_or(EACH_MAX),
        reached: workspace::below("reached.jsonl"),
        time_max: workers::MUTANT_TIME_MAX,
    })
}

/// Prints the fate of a mutant while the others run.
fn print_fate(fate: &Fate, chosen: &[&Mutation]) {
    if let Some(of) = chosen.iter().find(|it| it.number == fate.number) {
        eprintln!("{}", fate.json(of));
    }
}
