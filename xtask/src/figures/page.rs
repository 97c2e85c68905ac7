//! docs/reference/figures.md: one table, and the machine on which it was measured.

use std::fs;
use std::thread;

use crate::run::{output, root};

/// The page.
const PAGE: &str = "docs/reference/figures.md";

/// The page above its machine, and its table above the rows.
const HEAD: &str = "# Figures\n\nWritten by `cargo xtask figures`; do not edit by hand. Each row is one run on one machine, which may \
                    have done other work at the same time, with its day and commit.\n\n";
const COLUMNS: &str =
    "| what | measured | limit | command | day | commit |\n| --- | --- | --- | --- | --- | --- |\n";

/// One line of the table.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) value: String,
    pub(super) limit: &'static str,
    pub(super) command: &'static str,
}

/// Which measurements were made.
pub(super) enum Scope {
    /// All: a row that none of them gave is of none any more.
    All,
    /// These, by name: the rows of all others stay.
    Of(Vec<&'static str>),
}

/// Writes these figures into the page.
pub(super) fn write(all: &[Figure], scope: &Scope) -> Result<(), String> {
    let path = root().join(PAGE);
    let old = fs::read_to_string(&path).map_err(|error| format!("{PAGE}: {error}"))?;
    let day = output("date", &["-u", "+%Y-%m-%d"])?;
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let when = format!("{} | {}", day.trim(), commit.trim());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = output("uname", &["-r"])?;
    let machine = format!("- machine of the last run: {cores} cores, {}, kernel {kernel}", model());
    let text = format!("{HEAD}{machine}\n{COLUMNS}{}", rows(&old, all, scope, &when));
    fs::write(&path, text).map_err(|error| format!("{PAGE}: {error}"))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The rows of the page: those of before, each as it was measured now, then the new ones.
fn rows(old: &str, all: &[Figure], scope: &Scope, when: &str) -> String {
    let row = |one: &Figure| {
        format!("| {} | {} | {} | `{}` | {when} |\n", one.what, one.value, one.limit, one.command)
    };
    let stays = |what: &str| match scope {
        Scope::All => false,
        // A row with the name of a measurement says that it failed.
        Scope::Of(names) => !names.contains(&what),
    };
    let what_of = |line: &str| Some(line.strip_prefix("| ")?.split_once(" | ")?.0.to_owned());
    let before = old.lines().filter_map(|line| Some((what_of(line)?, line)));
    let before: Vec<(String, &str)> = before.filter(|(what, _)| what != "what" && what != "---").collect();
    let mut text = String::new();
    for (what, line) in &before {
        match all.iter().find(|one| one.what == what) {
            Some(one) => text += &row(one),
            None if stays(what) => text += &format!("{line}\n"),
            None => {}
        }
    }
    let is_new = |one: &&Figure| before.iter().all(|(what, _)| what != one.what);
    all.iter().filter(is_new).for_each(|one| text += &row(one));
    text
}

fn model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# Figures\n\n- machine\n\n| what | measured |\n| --- | --- |\n\
                       | size | 1 MB | ≤ 2 MB | `a` | 2026-01-01 | 1111111 |\n\
                       | follow-real | not measured | – | `–` | 2026-01-01 | 1111111 |\n\
                       | speed | 3 s | – | `b` | 2026-01-01 | 1111111 |\n";

    fn figure(what: &'static str) -> Figure {
        Figure { what, value: "5 MB".to_owned(), limit: "≤ 9 MB", command: "c" }
    }

    /// Red: a row that was not measured again gets the new day and commit, or is gone; or one that was keeps the old ones.
    #[test]
    fn some_measurements_replace_their_own_rows_and_leave_the_others_with_their_day_and_commit() {
        let scope = Scope::Of(vec!["follow-real"]);
        let new = rows(OLD, &[figure("speed"), figure("pods")], &scope, "2026-02-02 | 2222222");
        let size = "| size | 1 MB | ≤ 2 MB | `a` | 2026-01-01 | 1111111 |\n";
        let own = "5 MB | ≤ 9 MB | `c` | 2026-02-02 | 2222222 |\n";
        assert_eq!(new, format!("{size}| speed | {own}| pods | {own}"));
    }

    /// Red: a row whose measurement is no more stays for ever.
    #[test]
    fn all_measurements_leave_no_other_row() {
        let new = rows(OLD, &[figure("pods"), figure("speed")], &Scope::All, "d | c");
        assert_eq!(new, "| speed | 5 MB | ≤ 9 MB | `c` | d | c |\n| pods | 5 MB | ≤ 9 MB | `c` | d | c |\n");
    }
}
