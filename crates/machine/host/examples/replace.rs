//! Replaces one file from the command line, for tests that inject faults into its system calls.
//!
//! `replace <rename|in_place|trial|trial_in_place|settle> <path>`; the new content comes on stdin. The only line on
//! stdout is the outcome: `done`, `already`, or the failure's code and class. A leftover of an earlier run is removed
//! first.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use keyroll_host::{Replacement, TempName, Write, remove_temp, replace, resolve, settle, trial};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

fn run(mode: &str, path: &str, new: &SecretBytes, temp: &TempName) -> Result<&'static str, Failure> {
    let resolved = resolve(Path::new(path))?;
    remove_temp(&resolved, temp)?;
    let write = if mode.ends_with("in_place") { Write::InPlace } else { Write::Rename };
    if mode.starts_with("trial") {
        return trial(&resolved, write, temp).map(|()| "done");
    }
    if mode == "settle" {
        return settle(&resolved).map(|()| "already");
    }
    let replaced = replace(&Replacement { resolved: &resolved, expect: &resolved.digest, new, temp, write })?;
    Ok(if replaced.already { "already" } else { "done" })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let mut new = Vec::new();
    let (Some(mode), Some(path), Some(temp)) =
        (arguments.get(1), arguments.get(2), TempName::new("example-1"))
    else {
        return ExitCode::from(2);
    };
    if std::io::stdin().read_to_end(&mut new).is_err() {
        return ExitCode::from(2);
    }
    match run(mode, path, &SecretBytes::new(new), &temp) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{} {:?}", failure.code.as_str(), failure.class);
            eprintln!("{failure}: {:?}", failure.source.as_ref().map(|cause| cause.to_string()));
            ExitCode::FAILURE
        }
    }
}
