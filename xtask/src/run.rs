use std::path::PathBuf;
use std::process::Command;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Runs a command in the workspace and lets it print.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(words).current_dir(root()).status();
    let status = status.map_err(|error| format!("could not start {program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} ended with {status}", words.join(" "))) }
}

/// How many of its last lines are shown of a command that failed.
const LINES_MAX: usize = 5;

/// Runs a command in the workspace and returns its standard output.
pub(crate) fn output(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).current_dir(root()).output();
    let output = output.map_err(|error| format!("could not start {program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let told = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        let mut last: Vec<&str> = printed.lines().rev().take(LINES_MAX).collect();
        last.reverse();
        let words = words.join(" ");
        Err(format!("{program} {words} ended with {}: {}\n{}", output.status, told.trim(), last.join("\n")))
    }
}

/// Runs the tests of one test program, by cargo's words for it, whose names have this text.
pub(crate) fn named_tests(words: &[&str], text: &str) -> Result<(), String> {
    have_tests(words, text)?;
    run("cargo", &[&["test", "--quiet"][..], words, &["--", text]].concat())
}

/// Refuses a text that no name of a test has: cargo would run nothing, and succeed.
pub(crate) fn have_tests(words: &[&str], text: &str) -> Result<(), String> {
    let listed = output("cargo", &[&["test", "--quiet"][..], words, &["--", text, "--list"]].concat())?;
    if lists_test(&listed) {
        Ok(())
    } else {
        Err(format!("{}: no test has `{text}` in its name", words.join(" ")))
    }
}

fn lists_test(listed: &str) -> bool {
    listed.lines().any(|line| line.ends_with(": test"))
}

/// Whether a program is on the search path.
pub(crate) fn have(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Whether this is CI, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Where `cargo install` puts a program.
pub(crate) fn home_bin(program: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    cargo.or(home).unwrap_or_default().join("bin").join(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a list without tests is taken for one with some.
    #[test]
    fn a_list_without_tests_is_told_from_one_with_some() {
        assert!(lists_test("kill::killed_anywhere: test\n\n1 test, 0 benchmarks\n"));
        assert!(!lists_test("0 tests, 0 benchmarks\n") && !lists_test("") && !lists_test("one: benchmark\n"));
    }
}
