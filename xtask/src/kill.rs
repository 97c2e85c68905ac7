use std::process::Command;

use crate::run::{have_tests, root, run};

/// The tests that kill, as cargo's words for their program and the text in their names.
const TESTS: ([&str; 4], &str) = (["-p", "keyroll", "--test", "suite"], "kill::");

/// How many kills a night has.
const KILLS: &str = "1000";

/// Only the kill ring, with more kills than in a change's test.
pub(crate) fn kill(words: &[String]) -> Result<(), String> {
    let kills = words.first().map_or(KILLS, String::as_str);
    run("cargo", &["build", "--release", "--quiet", "-p", "keyroll"])?;
    let (program, text) = TESTS;
    have_tests(&program, text)?;
    let status = Command::new("cargo")
        .args(["test", "--quiet"])
        .args(program)
        .args(["--", text, "--nocapture"])
        .current_dir(root())
        .env("KEYROLL_KILLS", kills)
        .env("KEYROLL_PROGRAM", root().join("target/release/keyroll"))
        .status()
        .map_err(|error| format!("could not start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the kill ring ended with {status}")) }
}
