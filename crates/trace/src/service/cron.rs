use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use keyroll_manager::{Cron, CronJob, CronTable};
use keyroll_observe::{ProcessId, is_shell, shown};
use keyroll_secret::SecretBytes;

use super::around::Around;
use super::env_file;
use super::source::{Entry, Kept, Read, Source};
use super::{Handle, Keeper};

/// Where it is said what a job's environment is made of beside its table. Source: pam.d(5), pam_env(8).
const PAM: [&str; 2] = ["/etc/pam.d/cron", "/etc/pam.d/crond"];
const OF_PAM: &str = "/etc/environment";

/// Words by which a shell sets variables for what comes behind them, and programs that start others with other ones.
const SETS: [&[u8]; 10] =
    [b".", b"source", b"export", b"unset", b"set", b"eval", b"env", b"su", b"sudo", b"doas"];

/// What may touch a word and is no part of it; within a value, what a shell makes another one of.
const BESIDE: &[u8] = b"\"'\\$`;&|()<>{}";

const SETS_ITSELF: &str = "its line sets variables by itself";

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
        // What was told of it may be set anew further on.
        line = line.closed(SETS_ITSELF).read(Read::Perhaps(SETS_ITSELF));
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

/// Tells what stands before the command of a line: `NAME=VALUE command`. `false` = the shell, or another that it starts, may
/// set more than that can be told from here.
fn in_line(command: &SecretBytes, mut tell: impl FnMut(String, SecretBytes)) -> bool {
    let (mut begins, mut shell) = (true, false);
    let mut words = command.expose().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.all(|word| {
        if let (true, Some((name, value))) = (begins, assigned(word)) {
            if name.ends_with(b"+") || value.iter().any(|byte| BESIDE.contains(byte) || *byte == b'%') {
                return false;
            }
            tell(String::from_utf8_lossy(name).into_owned(), SecretBytes::new(value.to_vec()));
            return true;
        }
        begins = false;
        let mut parts = word.split(|byte| BESIDE.contains(byte)).filter(|part| !part.is_empty());
        parts.all(|part| {
            let program = part.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            // A shell of a login, or one that takes itself for a person's, reads files of its own.
            let reads = shell && is_login(part);
            shell = shell || is_shell(Path::new(OsStr::from_bytes(program)));
            !(reads || SETS.contains(&program) || assigned(part).is_some())
        })
    })
}

/// `NAME=VALUE`, or `NAME+=VALUE`, taken apart.
fn assigned(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = word.split_at(word.iter().position(|byte| *byte == b'=')?);
    let letters = name.strip_suffix(b"+").unwrap_or(name);
    let good =
        !letters.is_empty() && letters.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    good.then(|| (name, value.get(1..).unwrap_or_default()))
}

/// `-l`, `-lc`, `-ic`, `--login`.
fn is_login(option: &[u8]) -> bool {
    let short = option.strip_prefix(b"-").unwrap_or_default();
    let letters = short.iter().all(u8::is_ascii_alphabetic);
    option == b"--login" || letters && short.iter().any(|letter| matches!(letter, b'l' | b'i'))
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
        for line in ["cd /srv && ./job", "bash -c './job && ./other'", "ls -l; ./job -i x", "bash -eu ./job"]
        {
            assert!(told(line).1, "{line}");
        }
        for line in [
            "A='1 2' ./job",
            "A=$B ./job",
            "A={1,2} ./job",
            "A+=1 ./job",
            ". /etc/x; ./job",
            "cd /srv && KEY=1 ./job",
            "env K=1 ./job",
            "/bin/env -i ./job",
            "bash -c '. /etc/app.env && ./job'",
            "sh -c \"source x\"",
            "sh -c 'KEY=new ./job'",
            "cd /srv;KEY=new ./job",
            "(KEY=new ./job)",
            "{ KEY=new; ./job; }",
            "true;. ./env;./job",
            "cd x && api_key=1 ./job",
            "bash -lc ./job",
            "/bin/bash -l -c ./job",
            "bash --login -c ./job",
            "bash -ic ./job",
            "unset KEY; ./job",
            "echo $(. ./env; ./job)",
            "echo `KEY=new ./job`",
            "\\export KEY+=new; ./job",
            "sudo -u app ./job",
        ] {
            assert!(!told(line).1, "{line}");
        }
    }

    #[test]
    fn a_line_that_sets_variables_by_itself_wins_with_none_of_them() {
        let of = |command: &str| {
            let command = SecretBytes::from(command.to_owned());
            let of = sources(Path::new("/jobs"), &CronTable::default(), &CronJob { line: 1, command });
            let line = of.into_iter().next().unwrap();
            (line.read, line.closed, line.entries.into_keys().collect::<Vec<_>>().join(" "))
        };
        let known = "KEY".to_owned();
        assert_eq!(of("KEY=old ./job"), (Read::Start, None, known.clone()));
        let perhaps = Read::Perhaps(SETS_ITSELF);
        assert_eq!(of("KEY=old true; export KEY=new; ./job"), (perhaps, Some(SETS_ITSELF), known));
    }
}
