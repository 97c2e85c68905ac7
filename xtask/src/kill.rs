use std::process::Command;

use crate::run::{root, run};

/// How many kills a night has.
const KILLS: &str = "1000";

/// Only the kill ring, with more kills than in a change's test.
pub(crate) fn kill(words: &[String]) -> Result<(), String> {
    let kills = words.first().map_or(KILLS, String::as_str);
    run("cargo", &["build", "--release", "--quiet", "-p", "keyroll"])?;
    let status = Command::new("cargo")
        .args(["test", "--quiet", "-p", "keyroll", "--test", "suite", "--", "kill::", "--nocapture"])
        .current_dir(root())
        .env("KEYROLL_KILLS", kills)
        .env("KEYROLL_PROGRAM", root().join("target/release/keyroll"))
        .status()
        .map_err(|error| format!("could not start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the kill ring ended with {status}")) }
}
