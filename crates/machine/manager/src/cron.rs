pub(crate) mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process};
use keyroll_port::{Class, Failure};

use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::Notice::Job;
use crate::facts::daily;
use crate::find::with_workers;
use crate::{
    Applied, AppliedBy, Attempt, Comparison, DraftValue, InstanceProcess, ManagerFact, ServiceDeclaration,
    ServiceIdentity, Workload,
};

/// The jobs of a crontab: at rest, except those that run right now and have read their copies already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// The table, such as `/etc/cron.d/backup`.
    pub table: PathBuf,
    /// Whether its lines name a user before the command, as those of `/etc/cron.d` and `/etc/crontab` do.
    pub with_user: bool,
}

impl Cron {
    /// A job of a table that a survey found.
    pub fn declaration(table: &Path) -> ServiceDeclaration {
        let name = table.file_name().unwrap_or_default().to_string_lossy();
        ServiceDeclaration {
            is_job: true,
            manifest: Some(table.to_owned()),
            ..ServiceDeclaration::new("cron", name, [("cron", DraftValue::path(table))])
        }
    }

    /// The commands of the table, as cron hands them to the shell. Source: crontab(5).
    ///
    /// # Errors
    /// `K0405`: it cannot be read, or has no job.
    pub fn commands(&self) -> Result<Vec<String>, Failure> {
        let failed = || {
            Failure::new(
                Class::Permanent,
                Code::ProcessNotFound,
                format!("read the jobs of {}", self.table.display()),
            )
            .help("correct `runs.cron` in the configuration")
        };
        let text = std::fs::read_to_string(&self.table).map_err(|error| failed().because(error))?;
        let jobs: Vec<String> = text.lines().filter_map(|line| self.command(line)).collect();
        if jobs.is_empty() { Err(failed().because("it has no job")) } else { Ok(jobs) }
    }

    /// The command of one line; everything behind its first unescaped `%` is the job's standard input.
    pub(crate) fn command(&self, line: &str) -> Option<String> {
        let mut rest = line.trim_start();
        let first = rest.chars().next()?;
        if !(first.is_ascii_digit() || first == '*' || first == '@') {
            return None;
        }
        let times = if first == '@' { 1 } else { 5 };
        for _ in 0..times + usize::from(self.with_user) {
            rest = rest.split_once(char::is_whitespace)?.1.trim_start();
        }
        let mut command = String::new();
        let mut letters = rest.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '%' => break,
                '\\' if letters.peek() == Some(&'%') => command.extend(letters.next()),
                other => command.push(other),
            }
        }
        (!command.is_empty()).then_some(command)
    }
}

/// Jobs of cron.
pub(crate) static CRON: Manager = Manager {
    keys: &[Key::new(
        "cron",
        KeyForm::Path,
        "A crontab whose jobs read the copies: `/etc/cron.d/backup`. keyroll restarts nothing, and waits for a job that is running.",
    )],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ cron = \"/etc/cron.d/job\" }",
    facts: &[ManagerFact {
        manager: "`cron`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        downtime: "none",
        evidence: "its `check`; keyroll waits for a job that runs right now",
        test: "a_job_of_cron_that_runs_is_seen_and_one_that_does_not_is_at_rest",
        services: &[daily("cron", Job)],
    }],
    survey: None,
    read: |of| {
        let table = of.needed_path("cron")?.to_owned();
        let with_user = !table.starts_with("/var/spool/cron");
        Ok(Arc::new(Cron { table, with_user }))
    },
};

impl Workload for Cron {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied::without_output("nothing to do: cron starts it from its copies"))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing("its next run takes it")
    }

    /// The jobs that run right now: cron passes the whole command to a shell as one argument, and some shells replace
    /// themselves with a single command (bash does, seen with 5.2).
    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let commands = self.commands()?;
        let runs = |process: &&Process| {
            let holds = |command: &String| process.args.holds(std::ffi::OsStr::new(command));
            let by_shell = process.args.holds(std::ffi::OsStr::new("-c")) && commands.iter().any(holds);
            by_shell || commands.iter().any(|command| process.args.is_line(command))
        };
        let jobs: Vec<&Process> = listing.seen.iter().filter(runs).collect();
        // A process that the job just forked has the job's command line until it executes another program.
        let own = |job: &&&Process| !jobs.iter().any(|other| other.id.pid == job.ppid);
        let pids: Vec<u32> = jobs.iter().filter(own).map(|job| job.id.pid).collect();
        with_workers(listing, &pids)
    }

    fn needs_listing(&self) -> bool {
        true
    }

    fn needs_reload(&self) -> bool {
        false
    }

    fn is_job(&self) -> bool {
        true
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotRestarted
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![ServiceIdentity::placed("cron", "", &self.table)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_line_is_what_the_shell_gets() {
        let of = |with_user: bool, line: &str| Cron { table: PathBuf::new(), with_user }.command(line);
        assert_eq!(of(true, "5 4 * * *  root  /bin/b --x y").as_deref(), Some("/bin/b --x y"));
        assert_eq!(of(false, "@daily ./b").as_deref(), Some("./b"));
        assert_eq!(of(false, "*/5 * * * * date +\\%F %in").as_deref(), Some("date +%F "));
        for none in ["", "# 5 4 * * * root x", "PATH=/bin", "5 4 * * *", "@daily"] {
            assert_eq!(of(false, none), None, "{none}");
        }
    }
}
