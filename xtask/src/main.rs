//! The project's own chores: `cargo xtask test | parts | tests | kill | tidy | sim | mutants | replay | figures | codegen`.

mod apt;
mod codegen;
mod figures;
mod kill;
mod lanes;
mod mutants;
mod parts;
mod rings;
mod run;
mod sim;
mod targets;
mod tidy;
mod wording;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test [--full]      install the real parts that are missing, run every ring, print minutes per ring;
                               --full also those of a night (hours)
cargo xtask parts              install the real parts that are missing (as root, on Debian)
cargo xtask tests [WORD…]      only the tests, or the modules whose name (crate/module) has one of the words
cargo xtask kill [N]           the kill ring alone, for a night: N kills in all (1000), with the released program
cargo xtask tidy               the tree's own rules: sizes, error pages, protocol ids, words
cargo xtask sim ARGS…          the simulation in release (--seeds N, --exhaustive 2, --mutants, --full-pairs, --triples)
cargo xtask mutants WHICH      mutants made from the code of rotation and engine: --all, --sample N, --only NUMBER|FILE|FILE:LINE,
                               --equivalents, --list; [--json]
cargo xtask replay FILE        one stored fault plan, step by step
cargo xtask figures            measure the headline figures and write docs/reference/figures.md
cargo xtask codegen [--check]  write what is generated under docs/reference, or say what is out of date";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rest = words.get(1..).unwrap_or_default();
    let done = match words.first().map(String::as_str) {
        Some("test") => rings::test(rest.iter().any(|word| word == "--full")),
        Some("parts") => parts::install(),
        Some("tests") => targets::some(rest),
        Some("kill") => kill::kill(rest),
        Some("tidy") => tidy::tidy(),
        Some("sim") => sim::sim(rest),
        Some("mutants") => mutants::mutants(rest),
        Some("replay") => sim::replay(rest),
        Some("figures") => figures::figures(),
        Some("codegen") => codegen::codegen(rest.iter().any(|word| word == "--check")),
        Some(_) | None => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
