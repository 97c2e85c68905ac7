use std::path::Path;

use keyroll_manager::{Cron, CronJob, CronTable};
use keyroll_observe::{ProcessId, shown};

use super::around::Around;
use super::env_file;
use super::source::{Entry, Kept, Source};
use super::{Handle, Keeper};

/// Where it is said what a job's environment is made of beside its table. Source: pam.d(5), pam_env(8).
const PAM: [&str; 2] = ["/etc/pam.d/cron", "/etc/pam.d/crond"];
const OF_PAM: &str = "/etc/environment";

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
    let mut own = Source::of_file(format!("assignments in {}", shown(path)), path).applied_by(next);
    for one in table.variables.iter().filter(|one| one.line < job.line) {
        own.entries.insert(one.name.clone(), Entry::at(one.line, one.value.duplicate()));
    }
    let mut all = vec![own];
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

/// The job's shell, or what took its place, and what came of it.
fn running(around: &Around<'_>, job: &CronJob) -> Vec<ProcessId> {
    let command = String::from_utf8_lossy(job.command.expose()).into_owned();
    let seen = around.listing.seen.iter();
    let mains = seen.filter(|one| one.args.holds("-c".as_ref()) && one.args.holds(command.as_ref()));
    mains.flat_map(|main| around.tree(main.id)).collect()
}
