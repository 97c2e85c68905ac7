//! What a night runs beyond the test of a change: named parts, each at most an hour on two cores.

use std::fs;
use std::time::Instant;

use crate::run::{output, root, run};
use crate::targets::{self, Which};
use crate::{lanes, parts, rings, sdk, sim};

/// The last run of each part.
const PAGE: &str = "docs/reference/night.md";

/// The page above its rows.
const PAGE_HEAD: &str = "# Parts of a night\n\nWritten by `cargo xtask test --full`; do not edit by hand. The last run of \
                         each part, on two cores, with its test programs built.\n\n\
                         The part `vault` builds Vault 1.21.4 (Business Source License 1.1) as a program of its own, for \
                         tests only; nothing of it is in keyroll.\n\n\
                         | part | what it tests | result | minutes | day | commit |\n| --- | --- | --- | --- | --- | --- |\n";

/// Seeds of the simulation for a night.
const SEEDS: &str = "4000000";

/// One part of a night.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What it tests.
    pub(crate) what: &'static str,
    /// The test modules that it runs, by the beginning of their names (`crate/module`), with all of their tests.
    pub(crate) units: &'static [&'static str],
    /// Tests of these modules that the test of a change does not run, by the beginning of their names
    /// (`crate/module::…`).
    pub(crate) only: &'static [&'static str],
    /// A variable that extends the tests.
    variable: Option<(&'static str, &'static str)>,
    /// What it runs besides tests.
    chore: Option<fn() -> Result<(), String>>,
    /// Whether it carries out whole rotations: what they pass is then among its rooms and files.
    rotates: bool,
    /// The rooms that it is for: a change to one of them, or to what they import, touches the part.
    rooms: &'static [&'static str],
    /// Files that it is for, besides those of its tests, by the beginnings of their paths.
    files: &'static [&'static str],
}

/// The rooms that every rotation passes.
const DRIVEN: [&str; 4] = ["engine", "host", "journal", "store"];

/// The files of the fronts of every rotation: these rooms import rooms that no rotation passes.
const FRONTS: [&str; 3] = ["crates/front/app/", "crates/front/cli/src/", "crates/front/config/"];

/// What all tests are built with or run by.
const BUILT_WITH: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "crates/testkit/",
    "xtask/src/lanes.rs",
    "xtask/src/targets.rs",
    "xtask/src/world.rs",
];

/// A part without anything.
const NONE: Part = Part {
    name: "",
    what: "",
    units: &[],
    only: &[],
    variable: None,
    chore: None,
    rotates: false,
    rooms: &[],
    files: &[],
};

/// Every part.
pub(crate) const PARTS: [Part; 17] = [
    Part {
        name: "issuers",
        what: "whole rotations with every shipped spec, with faults and in emergencies",
        units: &["cli/issuers", "cli/iam", "aws/"],
        variable: Some(("KEYROLL_ISSUERS", "all")),
        rotates: true,
        rooms: &["issuer", "aws"],
        files: &["issuers/"],
        ..NONE
    },
    Part {
        name: "servers",
        what: "PostgreSQL, Redis, MariaDB, RabbitMQ: rotations under load, killed and rolled back at each moment",
        units: &["cli/postgres", "cli/servers", "logins/"],
        only: &[
            "cli/postgres::a_driver_killed_at_any_moment",
            "cli/postgres::a_rotation_goes_back_from_the_last_moment",
            "cli/postgres::pooled::a_login_is_replaced_through_a_pooler_with_a_list",
            "cli/postgres::pooled::a_pooler_that_logs_in_by_itself",
            "cli/servers::a_killed_",
            "cli/servers::a_mariadb_",
            "cli/servers::a_rabbitmq_",
            "cli/servers::a_redis_rotation_goes_back_from_the_last_moment",
            "cli/servers::a_redis_rotation_killed_at_any_moment",
            "cli/servers::mariadb_",
            "cli/servers::rabbitmq_",
        ],
        rotates: true,
        rooms: &["logins"],
        ..NONE
    },
    Part {
        name: "vault",
        what: "the real Vault: secrets in its key/value engine, and static roles of its database engine on PostgreSQL",
        units: &["truth/vault_real", "logins/static_roles_real"],
        only: &["truth/vault_real::", "logins/static_roles_real::"],
        rooms: &["logins", "truth"],
        ..NONE
    },
    Part {
        name: "managers",
        what: "every row of the page of managers, under load, killed and rolled back",
        units: &["cli/matrix", "cli/bad_days", "cli/units", "cli/docker"],
        only: &[
            "cli/bad_days::managers::a_manager_that_ends_in_the_middle",
            "cli/bad_days::units::units_on_bad_days",
        ],
        variable: Some(("KEYROLL_MATRIX", "full")),
        rotates: true,
        rooms: &["manager"],
        ..NONE
    },
    Part {
        name: "litellm",
        what: "the LiteLLM proxy with every source of its keys",
        units: &["cli/litellm"],
        only: &["cli/litellm::"],
        variable: Some(("KEYROLL_AGENTS", "full")),
        rotates: true,
        rooms: &["agents", "manager"],
        ..NONE
    },
    Part {
        name: "openclaw",
        what: "OpenClaw with every source of its keys",
        units: &["cli/openclaw"],
        only: &["cli/openclaw::"],
        variable: Some(("KEYROLL_AGENTS", "full")),
        rotates: true,
        rooms: &["agents", "manager"],
        ..NONE
    },
    Part {
        name: "waits",
        what: "what happens after a deadline of a minute",
        units: &["cli/gate"],
        only: &["cli/gate::a_rate_that_nobody_can_tell_"],
        rotates: true,
        ..NONE
    },
    Part {
        name: "kill",
        what: "keyroll killed at 1000 drawn system calls, with the released program",
        units: &[],
        chore: Some(|| crate::kill::kill(&[])),
        rotates: true,
        files: &["crates/front/cli/tests/kill"],
        ..NONE
    },
    Part {
        name: "aimed",
        what: "keyroll killed before and after each kind of effect, and at 200 drawn system calls",
        units: &["cli/aimed", "cli/kill"],
        only: &["cli/aimed::killed_", "cli/kill::killed_anywhere_"],
        rotates: true,
        ..NONE
    },
    Part {
        name: "disk",
        what: "every fault and every power failure of journal, witness, lock and store",
        units: &["journal/faulty_vfs"],
        variable: Some(("KEYROLL_FAULTS", "all")),
        rooms: &["journal", "store"],
        ..NONE
    },
    Part {
        name: "pairs",
        what: "the simulation: every pair of faults",
        chore: Some(|| sim::sim(&["--exhaustive".to_owned(), "2".to_owned()])),
        rooms: &["sim"],
        ..NONE
    },
    Part {
        name: "full-pairs",
        what: "the simulation: pairs of faults in the full world, and triples",
        chore: Some(|| sim::sim(&["--full-pairs".to_owned(), "--triples".to_owned()])),
        rooms: &["sim"],
        ..NONE
    },
    Part {
        name: "seeds",
        what: "the simulation: drawn schedules, and every mutant",
        chore: Some(|| sim::sim(&["--seeds".to_owned(), SEEDS.to_owned(), "--mutants".to_owned()])),
        rooms: &["sim"],
        ..NONE
    },
    Part {
        name: "release",
        what: "the demo of the release build, and the examples in documentation",
        chore: Some(|| {
            rings::released_demo()?;
            run("cargo", &["test", "--quiet", "--workspace", "--doc"])
        }),
        rooms: &["demo"],
        files: &["Cargo.toml"],
        ..NONE
    },
    Part {
        name: "python",
        what: "the Python package as it is published, with each Python of this machine, and its types",
        chore: Some(sdk::python_built),
        files: &["rules/", "sdk/python/"],
        ..NONE
    },
    Part {
        name: "libraries",
        what: "the Python package with the libraries that it serves, on PostgreSQL, Redis and moto",
        units: &["cli/values"],
        only: &["cli/values::two_hundred_tasks_"],
        chore: Some(sdk::libraries),
        files: &["sdk/python/"],
        ..NONE
    },
    Part {
        name: "licences",
        what: "licences, bans and sources of all packages, by cargo-deny",
        chore: Some(parts::deny),
        files: &["Cargo.lock", "deny.toml"],
        ..NONE
    },
];

/// The beginnings of the names (`crate/module::…`) of all tests that the test of a change leaves to parts.
pub(crate) fn beginnings() -> impl Iterator<Item = &'static str> {
    PARTS.iter().flat_map(|part| part.only).copied()
}

/// Prints the parts.
pub(crate) fn list() {
    for part in &PARTS {
        println!("{:<12} {}", part.name, part.what);
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
        lines.push(format!("{:<12} {minutes:>6.1} {how}", part.name));
        record(part, ended.is_ok(), minutes)?;
        if ended.is_err() {
            failed.push(part.name);
        }
    }
    println!("\n{:<12} minutes", "part");
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
        // The tests of `cli/postgres` are in such a file or folder.
        let tests = self.units.iter().filter_map(|unit| unit.strip_prefix("cli/"));
        named.chain(tests.map(|module| format!("crates/front/cli/tests/{module}")))
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

    #[test]
    fn the_part_that_a_test_is_left_to_runs_it() {
        for part in &PARTS {
            for beginning in part.only {
                let runs = part.units.iter().any(|unit| beginning.starts_with(unit));
                assert!(runs, "{}: {beginning}", part.name);
            }
        }
    }
}
