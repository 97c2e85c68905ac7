//! Runs generated mutants; `cargo xtask mutants` builds this in its mutated copy and starts it.
//!
//! `mutants reach SEEDS PART PARTS` prints, for each schedule of this part, which mutants it reaches.
//! `mutants run SEEDS EACH_MAX FILE` reads these lines from a file, and then numbers of mutants from standard input; it
//! prints one line of JSON per mutant. A mutant can end the process: then its number is the last one that was read.
#![expect(
    clippy::disallowed_methods,
    reason = "the command around the simulation reads its arguments and files"
)]

use std::io::{BufRead, Write};
use std::process::ExitCode;

use keyroll_sim::{Reached, reached, schedules, try_mutant};

const USAGE: &str = "usage: mutants reach SEEDS PART PARTS | mutants run SEEDS EACH_MAX FILE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    // Thousands of mutants panic.
    std::panic::set_hook(Box::new(|_| {}));
    let done = match words.as_slice() {
        ["reach", seeds, part, parts] => numbers([seeds, part, parts]).and_then(|[seeds, part, parts]| {
            let all = schedules(seeds);
            let mine = all.iter().enumerate().skip(usize::try_from(part).ok()?);
            for (at, schedule) in mine.step_by(usize::try_from(parts.max(1)).ok()?) {
                say(&serde_json::to_string(&reached(at, schedule)).ok()?)?;
            }
            Some(())
        }),
        ["run", seeds, each_max, file] => numbers([seeds, each_max]).and_then(|[seeds, each_max]| {
            let text = std::fs::read_to_string(file).ok()?;
            let known: Vec<Reached> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let all = schedules(seeds);
            for line in std::io::stdin().lock().lines() {
                let fate = try_mutant(
                    line.ok()?.trim().parse().ok()?,
                    &all,
                    &known,
                    usize::try_from(each_max).ok()?,
                );
                say(&serde_json::to_string(&fate).ok()?)?;
            }
            Some(())
        }),
        _ => None,
    };
    if done.is_none() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn numbers<const N: usize>(words: [&&str; N]) -> Option<[u64; N]> {
    let all: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    all.try_into().ok()
}

/// Prints a line at once: who reads it waits for it.
fn say(line: &str) -> Option<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").ok()?;
    out.flush().ok()
}
