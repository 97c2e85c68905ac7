//! The parts of the demo as a program of their own, for tests that need no pipeline: `part demo-part ROLE …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("demo-part") => keyroll_demo::part(words.collect()),
        Some(_) | None => ExitCode::from(2),
    }
}
