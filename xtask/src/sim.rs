use crate::run::run;

/// The simulation, in release.
pub(crate) fn sim(words: &[String]) -> Result<(), String> {
    bin("sim", words)
}

/// The simulation from the build of the tests: optimized too, with its assertions.
pub(crate) const BUILT: &str = "target/debug/sim";

/// One stored fault plan, step by step.
pub(crate) fn replay(words: &[String]) -> Result<(), String> {
    bin("replay", words)
}

fn bin(name: &str, words: &[String]) -> Result<(), String> {
    let mut all = vec!["run", "--release", "--quiet", "-p", "keyroll-sim", "--bin", name, "--"];
    all.extend(words.iter().map(String::as_str));
    run("cargo", &all)
}
