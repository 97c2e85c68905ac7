//! What a night runs beyond the test of a change: named parts, each at most an hour on two cores.

mod table;

use std::fs;
use std::time::Instant;

pub(crate) use table::{PARTS, Part};

use crate::lanes;
use crate::run::{output, root};
use crate::targets::{self, Which};

/// The last run of each part.
const PAGE: &str = "docs/reference/night.md";

/// The page above its rows.
const PAGE_HEAD: &str = "# Parts of a night\n\nWritten by `cargo xtask test --full`; do not edit by hand. The last run of \
                         each part, on two cores, with its test programs built.\n\n\
                         The part `vault` builds Vault 1.21.4 (Business Source License 1.1) as a program of its own, for \
                         tests only; nothing of it is in keyroll.\n\n\
                         | part | what it tests | result | minutes | day | commit |\n| --- | --- | --- | --- | --- | --- |\n";

/// The rooms that every rotation passes.
const DRIVEN: [&str; 4] = ["engine", "host", "journal", "store"];

/// The files of the fronts of every rotation, and of what they compose it from: these rooms import rooms that no
/// rotation passes. The last two are what the scenes of all of them are made of.
const FRONTS: [&str; 6] = [
    "crates/front/app/",
    "crates/front/cli/src/",
    "crates/machine/config/",
    "crates/machine/setup/",
    "crates/front/cli/tests/hostile/",
    "crates/front/cli/tests/kill/",
];

/// What all tests are built with or run by.
const BUILT_WITH: [&str; 7] = [
    "Cargo.lock",
    "Cargo.toml",
    "crates/testkit/",
    "xtask/src/inherited.rs",
    "xtask/src/lanes.rs",
    "xtask/src/targets.rs",
    "xtask/src/world.rs",
];

/// The beginnings of the names (`crate/module::…`) of tests in all parts: of those that the test of a change leaves to
/// them, and of those that it keeps.
pub(crate) fn beginnings() -> impl Iterator<Item = &'static str> {
    PARTS.iter().flat_map(|part| part.only.iter().chain(part.kept)).copied()
}

/// Whether the test of a change leaves a test (`crate/module::…`) to a part.
pub(crate) fn leaves(test: &str) -> bool {
    let begins = |all: &[&str]| all.iter().any(|beginning| test.starts_with(beginning));
    PARTS.iter().any(|part| begins(part.only) && !begins(part.kept))
}

/// Prints the parts.
pub(crate) fn list() {
    for part in &PARTS {
        println!("{:<18} {}", part.name, part.what);
    }
}

/// Runs these parts, or all; prints the minutes of each.
///
/// # Errors
/// A name is of no part (then nothing is run), or a part failed.
pub(crate) fn night(names: &[String]) -> Result<(), String> {
    let is_unknown = |name: &&String| PARTS.iter().all(|part| part.name != **name);
    if let Some(name) = names.iter().find(is_unknown) {
        return Err(format!("there is no part `{name}`; cargo xtask test --list names them"));
    }
    let wanted = PARTS.iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name));
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    lanes::forget_logs();
    for part in wanted {
        println!("── {}: {}", part.name, part.what);
        let begun = Instant::now();
        let ended = part.run();
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        let how = ended.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "passed".to_owned());
        lines.push(format!("{:<18} {minutes:>6.1} {how}", part.name));
        record(part, ended.is_ok(), minutes)?;
        if ended.is_err() {
            failed.push(part.name);
        }
    }
    println!("\n{:<18} minutes", "part");
    lines.iter().for_each(|line| println!("{line}"));
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Writes the part's row of the page; the other rows stay as they are.
fn record(part: &Part, passed: bool, minutes: f64) -> Result<(), String> {
    let path = root().join(PAGE);
    let old = fs::read_to_string(&path).unwrap_or_default();
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let day = output("date", &["-u", "+%Y-%m-%d"])?;
    let result = if passed { "passed" } else { "FAILED" };
    let own = format!("{result} | {minutes:.1} | {} | {}", day.trim(), commit.trim());
    let row = |one: &Part| {
        let head = format!("| `{}` | {} | ", one.name, one.what);
        let rest = old.lines().find_map(|line| line.strip_prefix(&head)?.strip_suffix(" |"));
        let rest = if one.name == part.name { &own } else { rest.unwrap_or("not run | | | ") };
        format!("{head}{rest} |\n")
    };
    let text = PARTS.iter().fold(PAGE_HEAD.to_owned(), |text, one| text + &row(one));
    fs::write(&path, text).map_err(|error| format!("{PAGE}: {error}"))
}

impl Part {
    /// The rooms that it is for.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &'static str> {
        let driven = DRIVEN.into_iter().filter(|_| self.rotates);
        self.rooms.iter().copied().chain(driven)
    }

    /// The files that it is for, by the beginnings of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = String> {
        let fronts = FRONTS.into_iter().filter(|_| self.rotates);
        let built_with = BUILT_WITH.into_iter().filter(|_| self.name != "licences");
        let named = self.files.iter().copied().chain(fronts).chain(built_with).map(str::to_owned);
        // The tests of `cli/postgres` and `cli/kubernetes::served` are in such a file or folder.
        let tests = self.units.iter().filter_map(|unit| unit.strip_prefix("cli/"));
        named.chain(tests.map(|module| format!("crates/front/cli/tests/{}", module.replace("::", "/"))))
    }

    fn run(&self) -> Result<(), String> {
        if let Some(chore) = self.chore {
            chore()?;
        }
        if self.units.is_empty() {
            return Ok(());
        }
        targets::counted(&Which::Begins(self.units), self.variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red for a part that would be recorded as passed although it has nothing to run.
    #[test]
    fn every_part_runs_something_and_has_a_name_of_its_own() {
        for (at, part) in PARTS.iter().enumerate() {
            assert!(part.chore.is_some() || !part.units.is_empty(), "{}", part.name);
            assert!(PARTS[..at].iter().all(|other| other.name != part.name), "{}", part.name);
        }
    }

    #[test]
    fn the_part_that_a_test_is_left_to_runs_it() {
        for part in &PARTS {
            for beginning in part.only {
                let runs = part.units.iter().any(|unit| beginning.starts_with(unit));
                assert!(runs, "{}: {beginning}", part.name);
            }
            for kept in part.kept {
                let left = part.only.iter().any(|beginning| kept.starts_with(beginning));
                assert!(left && !leaves(kept), "{}: {kept}", part.name);
            }
        }
    }
}
