//! Replays one fault plan step by step; the last line is JSON.
#![expect(
    clippy::disallowed_methods,
    reason = "the command around the simulation reads its arguments and files"
)]

use std::process::ExitCode;
use std::time::Instant;

use keyroll_sim::{FaultPlan, Keep, Mutant, run};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: replay FILE");
        return ExitCode::from(2);
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("could not read {path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plan: FaultPlan = match serde_json::from_str(&text) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{path} is not a fault plan: {error}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let report = run(&plan, &Mutant::NONE, Keep { log: true, ..Keep::default() }, None);
    for line in &report.log {
        println!("{line}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = report.steps as f64 / begun.elapsed().as_secs_f64();
    let violations = u8::from(report.violation.is_some());
    println!(
        "{{\"schedules\":1,\"steps\":{},\"violations\":{violations},\"uncovered\":0,\"mutants\":0,\"killed\":0,\"steps_per_second\":{rate:.0}}}",
        report.steps,
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
