use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use keyroll_copy::DotenvReader;
use keyroll_manager::{Cron, CronJob, CronTable};
use keyroll_observe::{Process, ProcessId, is_shell, shown};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::env_file;
use super::shell_text::{Around, Step, steps};
use super::source::{Assignment, Kept, Read, Source};

/// The PAM files that say where a job's environment comes from besides its table. Source: pam.d(5), pam_env(8).
const PAM: [&str; 2] = ["/etc/pam.d/cron", "/etc/pam.d/crond"];
const OF_PAM: &str = "/etc/environment";

/// Words after which a job's environment is unknown: shell commands that set variables, programs that start others with
/// another environment, and shells that always read a file of their own.
const SETS: &[&str] = &[
    ".",
    "source",
    "export",
    "unset",
    "set",
    "eval",
    "read",
    "declare",
    "typeset",
    "env",
    "su",
    "sudo",
    "doas",
    "runuser",
    "run0",
    "pkexec",
    "systemd-run",
    "setpriv",
    "chpst",
    "envdir",
    "envuidgid",
    "s6-envdir",
    "s6-env",
    "with-contenv",
    "op",
    "aws-vault",
    "chamber",
    "direnv",
    "doppler",
    "dotenv",
    "envchain",
    "infisical",
    "sops",
    "teller",
    "zsh",
    "fish",
    "csh",
    "tcsh",
];

/// Of these, those that read a file whose name stands behind them, or decide what is exported.
const READS: [&str; 5] = [".", "source", "set", "export", "env"];

/// In place of a folder that is not known.
const NOWHERE: &str = "/dev/null/unknown";

/// Shells that read no file before a given command, except the file that a variable names.
const PLAIN_SHELLS: [&str; 4] = ["sh", "dash", "ash", "bash"];

/// The variable that names a file which bash reads before a command; `ENV` is only for interactive shells. Source:
/// bash(1), dash(1).
const NAMES_A_FILE: &str = "BASH_ENV";

/// Bytes that may be next to a word and are not part of it. In a value, a shell would expand or interpret them.
const BESIDE: &[u8] = b"\"'\\$`;&|()<>{}";

const SETS_ITSELF: &str = "its line sets variables by itself";
const MISSING: &str = "it is not there, and its line reads it";
const NOT_EXPORTED: &str = "its line does not export what it reads";
const CONDITION: &str = "its line reads it under a condition";
const SHELL_READS: &str = "its shell reads a file of its own before the line";

/// The most jobs of one table.
const JOBS_MAX: usize = 1_000;

/// Programs that run the lines of tables.
const DAEMONS: [&str; 4] = ["cron", "crond", "anacron", "fcron"];

/// Whether a process runs the lines of tables, or is about to execute the shell of one.
pub(super) fn is_daemon(process: &Process) -> bool {
    let name = process.exe.as_deref().filter(|_| process.uid == Some(0)).and_then(Path::file_name);
    name.is_some_and(|name| DAEMONS.iter().any(|daemon| name == *daemon))
}

/// Each line of a table is a service that rarely runs.
pub(crate) fn kept(context: &mut Context<'_>) -> Vec<Kept> {
    let mut all = Vec::new();
    for cron in Cron::tables() {
        match cron.read() {
            Ok(table) => all.extend(of_table(context, &cron.table, &table)),
            Err(error) => context.not_seen(shown(&cron.table), error.to_string()),
        }
    }
    all
}

/// The jobs of a table, also of a table at another path.
pub(crate) fn of_table(context: &Context<'_>, path: &Path, table: &CronTable) -> Vec<Kept> {
    let jobs = table.jobs.iter().take(JOBS_MAX);
    jobs.map(|job| {
        let processes = running(context, job);
        Kept {
            main: processes.first().copied(),
            project: path.parent().map(Path::to_owned),
            sources: sources(path, table, job),
            ..Kept::of(Cron::declaration(path), format!("{} line {}", shown(path), job.line), processes)
        }
    })
    .collect()
}

/// Assignments apply to the jobs after them. A job that starts later reads the table as it is then.
fn sources(path: &Path, table: &CronTable, job: &CronJob) -> Vec<Source> {
    let next = "nothing: the next run reads it";
    let of_table = || Source { each_start: true, ..Source::of_file("", path) }.applied_by(next);
    let mut own = Source { what: format!("assignments in {}", shown(path)), ..of_table() };
    for one in table.variables.iter().filter(|one| one.line < job.line) {
        own.entries.insert(one.name.clone(), Assignment::at(one.line, one.value.duplicate()));
    }
    let mut line = Source { what: format!("line {} of {}", job.line, shown(path)), ..of_table() };
    let simple = in_line(&job.command, |name, value| {
        line.entries.insert(name, Assignment::at(job.line, value));
    });
    let by_pam = |path: &&str| {
        let lines = std::fs::read_to_string(path).unwrap_or_default();
        lines.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("pam_env.so"))
    };
    let of_pam = PAM.iter().any(by_pam).then(|| env_file::source(OF_PAM, Path::new(OF_PAM)).applied_by(next));
    let known: Vec<&Source> = [&line, &own].into_iter().chain(&of_pam).collect();
    let files = if simple { Some(Vec::new()) } else { files_read(job) };
    let why = match files {
        None => Some(SETS_ITSELF),
        Some(_) => shell_reads(&own, &known).then_some(SHELL_READS),
    };
    if let Some(why) = why {
        // The rest of the line may set it again.
        line = line.closed(why).read(Read::Perhaps(why));
    }
    let read = |(path, why): (PathBuf, Option<&'static str>)| {
        let source = env_file::optional(
            format!("{} as line {} reads it", shown(&path), job.line),
            &path,
            DotenvReader::Sh,
        );
        // Some shells end then, others go on.
        let source =
            if source.missing { Source { missing: false, ..source.closed(MISSING) } } else { source };
        source.applied_by(next).read(why.map_or(Read::Start, Read::Perhaps))
    };
    let mut all = vec![line];
    all.extend(files.into_iter().flatten().rev().map(read));
    all.push(own);
    all.extend(of_pam);
    all.retain(|source| !source.says_nothing());
    all
}

/// The files that a line reads by itself (`cd /srv/app && set -a && . ./.env && …`), each with why its program may not get
/// what they say; `None` = it may set variables in another way too. The folder of a job is its user's home.
fn files_read(job: &CronJob) -> Option<Vec<(PathBuf, Option<&'static str>)>> {
    let text = String::from_utf8_lossy(job.command.expose());
    let mut words = text.split(|letter: char| letter.is_whitespace() || "\"'`;&|(){}".contains(letter));
    if words.any(|word| SETS.contains(&word.rsplit('/').next().unwrap_or(word)) && !READS.contains(&word)) {
        return None;
    }
    let around = Around { folder: Path::new(NOWHERE), script: None, home: None };
    let read = steps(&text, &around).into_iter().map(|step| match step {
        Step::Reads { path, perhaps, exported, .. } if !path.starts_with(NOWHERE) => {
            let why = if perhaps { Some(CONDITION) } else { (!exported).then_some(NOT_EXPORTED) };
            Some((path, why))
        }
        Step::Reads { .. } | Step::Sets { .. } | Step::Hidden { .. } => None,
    });
    read.collect()
}

/// Whether a job's shell, or a shell that it starts, reads a file because of these variables.
fn shell_reads(of_table: &Source, sources: &[&Source]) -> bool {
    let names_a_file = |source: &&Source| source.entries.contains_key(NAMES_A_FILE);
    // cron takes the shell from the table only, whatever a line or another source sets.
    let shell = of_table.entries.get("SHELL");
    let plain = |entry: &Assignment| {
        let path = entry.value.as_ref().map(SecretBytes::expose).unwrap_or_default();
        let name = Path::new(OsStr::from_bytes(path)).file_name();
        PLAIN_SHELLS.iter().any(|shell| name == Some(shell.as_ref()))
    };
    sources.iter().any(names_a_file) || !shell.is_none_or(plain)
}

/// Passes on the assignments before the command of a line: `NAME=VALUE command`. `false` = the shell, or another one
/// that it starts, may set further variables, which are not visible here.
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
            // A login shell, or an interactive one, reads files of its own.
            let reads = shell && is_login(part);
            shell = shell || is_shell(Path::new(OsStr::from_bytes(program)));
            let sets = SETS.iter().any(|word| word.as_bytes() == program);
            !(reads || sets || assigned(part).is_some())
        })
    })
}

/// Splits `NAME=VALUE`, or `NAME+=VALUE`.
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

/// The job's shell, or the program that replaced it, and its descendants.
fn running(context: &Context<'_>, job: &CronJob) -> Vec<ProcessId> {
    let command = String::from_utf8_lossy(job.command.expose()).into_owned();
    let seen = context.listing.seen.iter();
    let mains = seen.filter(|one| one.args.holds("-c".as_ref()) && one.args.holds(command.as_ref()));
    mains.flat_map(|main| context.tree(main.id)).collect()
}

#[cfg(test)]
mod tests {
    use keyroll_manager::CronVariable;

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
            "/usr/bin/envdir /etc/app.d ./job",
            "runuser -u app -- ./job",
            "chpst -e /etc/app.d ./job",
            "op run --env-file=app.env -- ./job",
            "systemd-run --pipe ./job",
            "zsh -c ./job",
            "read -r KEY <./key; ./job",
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

    #[test]
    fn a_table_whose_shell_reads_a_file_first_foretells_nothing() {
        let of = |variables: &[(&str, &str)], command: &str| {
            let one = |((name, value), line): (&(&str, &str), u64)| CronVariable {
                name: (*name).to_owned(),
                value: SecretBytes::from((*value).to_owned()),
                line,
            };
            let variables = variables.iter().zip(1..).map(one).collect();
            let job = CronJob { line: 9, command: SecretBytes::from(command.to_owned()) };
            let all = sources(Path::new("/jobs"), &CronTable { variables, ..CronTable::default() }, &job);
            // Sources before the table's own assignment can hide it.
            let first = all.into_iter().find(|one| one.closed.is_some() || one.entries.contains_key("KEY"));
            first.map(|one| (one.read, one.closed))
        };
        let read = Some((Read::Start, None));
        let shadowed = Some((Read::Perhaps(SHELL_READS), Some(SHELL_READS)));
        for (name, value, command, wanted) in [
            ("A", "1", "./job", read),
            ("SHELL", "/bin/bash", "./job", read),
            ("SHELL", "/bin/sh", "./job", read),
            ("BASH_ENV", "/etc/app.env", "./job", shadowed),
            ("ENV", "production", "./job", read),
            ("A", "1", "BASH_ENV=/etc/app.env ./job", shadowed),
            ("SHELL", "/usr/bin/zsh", "./job", shadowed),
            ("SHELL", "/srv/app/run-with-keys", "./job", shadowed),
            // The line's own SHELL is only passed on to the command.
            ("A", "1", "SHELL=/usr/bin/zsh ./job", read),
        ] {
            assert_eq!(of(&[(name, value), ("KEY", "old")], command), wanted, "{name}={value} {command}");
        }
    }
}
