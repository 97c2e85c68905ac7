use std::path::Path;

use keyroll_manager::{Cron, CronJob, CronTable};
use keyroll_observe::{ProcessId, shown};
use keyroll_secret::SecretBytes;

use super::around::Around;
use super::env_file;
use super::source::{Entry, Kept, Source};
use super::{Handle, Keeper};

/// Where it is said what a job's environment is made of beside its table. Source: pam.d(5), pam_env(8).
const PAM: [&str; 2] = ["/etc/pam.d/cron", "/etc/pam.d/crond"];
const OF_PAM: &str = "/etc/environment";

/// Words by which a shell, or `env`, sets variables for what comes behind them.
const SETS: [&[u8]; 7] = [b".", b"source", b"export", b"set", b"eval", b"env", b"/usr/bin/env"];

/// The most jobs of one table.
const JOBS_MAX: usize = 1_000;

/// A line of a table is a service that mostly does not run.
pub(crate) fn kept(around: &mut Around<'_>) -> Vec<Kept> {
    let mut all = Vec::new();
    for cron in Cron::tables() {
        match cron.read() {
            Ok(table) => all.extend(of_table(around, &cron.table, &table)),
            Err(error) => around.not_seen(shown(&cron.table), error.to_string()),
        }
    }
    all
}

/// The jobs of a table, also of one that lies elsewhere.
pub(crate) fn of_table(around: &Around<'_>, path: &Path, table: &CronTable) -> Vec<Kept> {
    let jobs = table.jobs.iter().take(JOBS_MAX);
    jobs.map(|job| {
        let processes = running(around, job);
        Kept {
            keeper: Keeper::Cron,
            name: format!("{} line {}", shown(path), job.line),
            handle: Handle::Cron(path.to_owned()),
            main: processes.first().copied(),
            processes,
            project: path.parent().map(Path::to_owned),
            sources: sources(path, table, job),
        }
    })
    .collect()
}

/// Assignments hold for the jobs behind them. A job that starts later reads the table as it is then.
fn sources(path: &Path, table: &CronTable, job: &CronJob) -> Vec<Source> {
    let next = "nothing: the next run reads it";
    let of_table = || Source { each_start: true, ..Source::of_file("", path) }.applied_by(next);
    let mut own = Source { what: format!("assignments in {}", shown(path)), ..of_table() };
    for one in table.variables.iter().filter(|one| one.line < job.line) {
        own.entries.insert(one.name.clone(), Entry::at(one.line, one.value.duplicate()));
    }
    let mut line = Source { what: format!("line {} of {}", job.line, shown(path)), ..of_table() };
    let simple = in_line(&job.command, |name, value| {
        line.entries.insert(name, Entry::at(job.line, value));
    });
    if !simple {
        line.closed = Some("its line sets variables by itself");
    }
    let mut all = vec![line, own];
    let by_pam = |path: &&str| {
        let lines = std::fs::read_to_string(path).unwrap_or_default();
        lines.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("pam_env.so"))
    };
    if PAM.iter().any(by_pam) {
        all.push(env_file::source(OF_PAM, Path::new(OF_PAM)).applied_by(next));
    }
    all.retain(|source| !source.says_nothing());
    all
}

/// Tells what stands before the command of a line: `NAME=VALUE command`. `false` = the shell may set more than that can be
/// told from here.
fn in_line(command: &SecretBytes, mut tell: impl FnMut(String, SecretBytes)) -> bool {
    let mut begins = true;
    let mut words = command.expose().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.all(|word| {
        let at = word.iter().position(|byte| *byte == b'=').unwrap_or(0);
        let (name, value) = word.split_at(at);
        let named = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if begins && named {
            let value = value.get(1..).unwrap_or_default();
            if value.iter().any(|byte| b"\"'\\$`;&|(<>%".contains(byte)) {
                return false;
            }
            tell(String::from_utf8_lossy(name).into_owned(), SecretBytes::new(value.to_vec()));
            return true;
        }
        begins = false;
        !(SETS.contains(&word) || named && name.iter().all(|byte| !byte.is_ascii_lowercase()))
    })
}

/// The job's shell, or what took its place, and what came of it.
fn running(around: &Around<'_>, job: &CronJob) -> Vec<ProcessId> {
    let command = String::from_utf8_lossy(job.command.expose()).into_owned();
    let seen = around.listing.seen.iter();
    let mains = seen.filter(|one| one.args.holds("-c".as_ref()) && one.args.holds(command.as_ref()));
    mains.flat_map(|main| around.tree(main.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_sets_is_read_where_it_is_plain_and_else_not_guessed() {
        let told = |line: &str| {
            let mut all = Vec::new();
            let simple = in_line(&SecretBytes::from(line.to_owned()), |name, value| {
                all.push(format!("{name}={}", String::from_utf8_lossy(value.expose())));
            });
            (all.join(" "), simple)
        };
        assert_eq!(told("A=1 B=x.y ./job --flag=3"), ("A=1 B=x.y".to_owned(), true));
        assert_eq!(told("./job"), (String::new(), true));
        for line in
            ["A='1 2' ./job", "A=$B ./job", ". /etc/x; ./job", "cd /srv && KEY=1 ./job", "env K=1 ./job"]
        {
            assert!(!told(line).1, "{line}");
        }
    }
}
