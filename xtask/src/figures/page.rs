//! docs/reference/figures.md: one table, and the machine on which it was measured.

use std::fs;
use std::thread;

use crate::run::output;

/// One line of the table.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) value: String,
    pub(super) limit: &'static str,
    pub(super) command: &'static str,
}

pub(super) fn page(all: &[Figure]) -> Result<String, String> {
    let mut text = String::from(
        "# Figures\n\nWritten by `cargo xtask figures`; do not edit by hand. One run on one machine, which may have done other work at the same time.\n\n",
    );
    text += &format!("- date: {}", output("date", &["-u", "+%Y-%m-%d"])?);
    text += &format!("- commit: {}", output("git", &["rev-parse", "--short", "HEAD"])?);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    text += &format!("- machine: {cores} cores, {}, kernel {}", model(), output("uname", &["-r"])?);
    text += "\n| what | measured | limit | command |\n| --- | --- | --- | --- |\n";
    for figure in all {
        text +=
            &format!("| {} | {} | {} | `{}` |\n", figure.what, figure.value, figure.limit, figure.command);
    }
    Ok(text)
}

fn model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}
