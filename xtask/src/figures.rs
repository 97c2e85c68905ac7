use crate::run::run;

/// Measures the headline figures and writes docs/reference/figures.md.
pub(crate) fn figures() -> Result<(), String> {
    run("cargo", &["run", "--release", "--quiet", "-p", "keyroll-needle", "--example", "throughput"])?;
    run("cargo", &["run", "--release", "--quiet", "-p", "keyroll-journal", "--example", "throughput"])
}
