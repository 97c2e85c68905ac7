//! The project's own chores: `cargo xtask test | parts | tests | kill | tidy | sim | mutants | replay | figures | codegen | dist`.

mod apt;
mod codegen;
mod dist;
mod figures;
mod inherited;
mod kill;
mod lanes;
mod mutants;
mod night;
mod parts;
mod rings;
mod run;
mod sdk;
mod sim;
mod targets;
mod tidy;
mod touched;
mod wording;
mod world;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test               install the real parts that are missing, run what a change must pass, print the minutes
cargo xtask test --full [PART…]  parts of a night, or all of them (hours)
cargo xtask test --list        name the parts of a night
cargo xtask test --touched [COMMIT]  name the parts that the changes since COMMIT (where the branch left main) touch
cargo xtask parts              install the real parts that are missing (as root, on Debian)
cargo xtask tests [WORD…]      only the tests, or the modules whose name (crate/module) has one of the words
cargo xtask kill [N]           the kill ring alone, for a night: N kills in all (1000), with the released program
cargo xtask tidy               the tree's own rules: sizes, error pages, protocol ids, words
cargo xtask sim ARGS…          the simulation in release (--seeds N, --exhaustive 2, --helpful N, --mutants, --full-pairs, --triples)
cargo xtask mutants WHICH      mutants made from the code of rotation and engine: --all, --sample N, --only NUMBER|FILE|FILE:LINE,
                               --equivalents, --list; [--json]
cargo xtask replay FILE        one stored fault plan, step by step
cargo xtask figures [NAME…]    measure the headline figures, or these, and write docs/reference/figures.md
cargo xtask codegen [--check]  write what is generated under docs/reference, or say what is out of date
cargo xtask dist [--profile dist|release|dev] [--program PATH] [--out FOLDER]
                               make the packages (archive, .deb, image, SBOM, checksums) in target/dist";

fn main() -> ExitCode {
    world::set_umask();
    inherited::set_limits();
    if let Err(why) = inherited::hear_children() {
        eprintln!("xtask: {why}");
        return ExitCode::FAILURE;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rest = words.get(1..).unwrap_or_default();
    if words.first().is_some_and(|word| word == world::CHORE) {
        return match world::enter(rest) {
            Ok(code) => ExitCode::from(code),
            Err(why) => {
                eprintln!("xtask {}: {why}", world::CHORE);
                ExitCode::FAILURE
            }
        };
    }
    let done = match words.first().map(String::as_str) {
        Some("test") => test(rest),
        Some(rings::DEMO) => rings::demo(rest.first().map_or("target/debug/keyroll", String::as_str)),
        Some("parts") => parts::install(),
        Some("tests") => targets::some(rest),
        Some("kill") => kill::kill(rest),
        Some("tidy") => tidy::tidy(),
        Some("sim") => sim::sim(rest),
        Some("mutants") => mutants::mutants(rest),
        Some("replay") => sim::replay(rest),
        Some("figures") => figures::figures(rest),
        Some("codegen") => codegen::codegen(rest.iter().any(|word| word == "--check")),
        Some("dist") => dist::dist(rest),
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

/// What a change must pass, or a night.
fn test(words: &[String]) -> Result<(), String> {
    inherited::leave_behind(words.first().is_some_and(|word| word == "--full"))?;
    match (words.first().map(String::as_str), words.get(1..).unwrap_or_default()) {
        (None, _) => rings::test(),
        (Some("--full"), parts) => night::night(parts),
        (Some("--list"), []) => {
            night::list();
            Ok(())
        }
        (Some("--touched"), []) => touched::print(None),
        (Some("--touched"), [base]) => touched::print(Some(base)),
        (Some(word), _) => Err(format!("`test {word}` is none of its forms\n{HELP}")),
    }
}
