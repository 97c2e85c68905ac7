pub(crate) mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId};
use keyroll_port::{Class, Failure};

use crate::command::{Ended, Output, With, run};
use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::Notice::Away;
use crate::facts::{OF_PROCESS, nightly};
use crate::find::{list, with_workers};
use crate::restart::CommandFailure;
use crate::settle::{Settling, mains, question, settle, text};
use crate::shell_word::{shell_word, shell_words};
use crate::{
    Applied, AppliedBy, Attempt, ChangedFile, CommandLine, DraftValue, Drift, InstanceProcess, ManagerFact,
    OwnCopies, ServiceDeclaration, ServiceIdentity, Workload,
};

/// How long one question to supervisord may take, milliseconds.
const ASK_MS_MAX: u64 = 10_000;

/// The configuration file of Debian's package.
const CONFIG: &str = "/etc/supervisor/supervisord.conf";

/// The beginning of a program's section in its configuration.
const SECTION: &[u8] = b"[program:";

/// The word in every command line of supervisord.
const SUPERVISORD: &[u8] = b"supervisord";
/// How long a look waits for a program that supervisord has not started or stopped yet, milliseconds. supervisord
/// starts a program within a second of the command.
const BETWEEN_MS_MAX: u64 = 3_000;

/// How often its state is read in that time, milliseconds.
const BETWEEN_PAUSE_MS: u64 = 100;

/// A program, or a group of programs, of supervisord.
///
/// `supervisorctl restart` starts a program with the environment that supervisord read last; only `reread` and `update`
/// read a changed `environment=`, and `update NAME` leaves other programs alone (seen with supervisor 4.2.5 and 4.3.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// The program's name, or its group's, as `supervisorctl status` shows it before the colon.
    pub program: String,
    /// The configuration file of supervisord.
    pub config: PathBuf,
    /// The program; `supervisorctl` but for tests.
    pub supervisorctl: PathBuf,
}

/// One process of a program, as `supervisorctl status` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: String,
    state: String,
    pid: Option<u32>,
}

impl Member {
    /// `w:w_00   RUNNING   pid 6285, uptime 0:00:01`
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, state) = (words.next()?, words.next()?);
        if name.ends_with(':') || !state.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let pid = match words.next() {
            Some("pid") => words.next().and_then(|word| word.trim_end_matches(',').parse().ok()),
            _ => None,
        };
        Some(Self { name: name.to_owned(), state: state.to_owned(), pid })
    }

    /// It has a process, or had one a moment ago, that `status` does not name.
    fn between(&self) -> bool {
        self.pid.is_none() && matches!(self.state.as_str(), "STARTING" | "STOPPING")
    }
}

/// Whether a process is a supervisord: a program of Python's that was started under that name.
pub(crate) fn is_supervisord(process: &Process) -> bool {
    // Compares whole names: `/usr/bin/supervisord`, or `-m supervisor.supervisord`. A word of any program may contain
    // the name.
    let named = |word: &[u8]| word.rsplit(|&byte| byte == b'/' || byte == b'.').next() == Some(SUPERVISORD);
    let first = process.args.program().is_some_and(|program| named(program.as_os_str().as_encoded_bytes()));
    first || process.args.any(named) || named(process.name.as_bytes())
}

impl Supervisor {
    /// A program that a survey found. supervisorctl moves it by the names of its groups, of which there is one, the program's
    /// own, without a `[group:NAME]`.
    pub fn declaration(program: &str, groups: &[String], config: Option<&Path>) -> ServiceDeclaration {
        let of_file = config.map(|config| ("config", DraftValue::path(config)));
        let group = groups.first().map_or(program, String::as_str);
        let runs = [("supervisor", DraftValue::text(group))].into_iter().chain(of_file);
        let without = "the configuration of its supervisord was not found: fill in `config` if it is not /etc/supervisor/supervisord.conf";
        let of_config = config.map(|config| format!(" -c {}", shell_word(config.display().to_string())));
        let all = shell_words(groups.iter().map(|group| format!("{group}:*")));
        let restart = format!("supervisorctl{} restart {all}", of_config.unwrap_or_default());
        let several = "it is in several groups: add a consumer for each of the others";
        let notes = [(config.is_none(), without), (groups.len() > 1, several)];
        ServiceDeclaration {
            identity: Some(ServiceIdentity::perhaps_placed("supervisord", group, config)),
            notes: notes.into_iter().filter_map(|(holds, note)| holds.then_some(note)).collect(),
            restart: Some(restart),
            manifest: config.map(Path::to_owned),
            ..ServiceDeclaration::new("supervisord", program, runs)
        }
    }

    /// A program of the supervisord that this file configures.
    pub fn new(program: impl Into<String>, config: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), config: config.into(), supervisorctl: "supervisorctl".into() }
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let changed = self.changed(deadline)?;
        // An interrupted update may have removed the program: then it can be added again.
        let update = changed.contains(&self.program);
        let before = if update && !self.known()? { Vec::new() } else { self.members()? };
        if let Some(stopped) = before.iter().find(|one| one.state == "STOPPED") {
            return Err(self
                .failed(Class::Permanent, "restart")
                .because(format!("{} is {}, and a restart would start it", stopped.name, stopped.state))
                .help("start it, or declare it `at_rest`"));
        }
        let old: BTreeSet<ProcessId> = mains(&self.processes(&before)?);
        let group = format!("{}:*", self.program);
        let verb = if update { ["update", self.program.as_str()] } else { ["restart", group.as_str()] };
        let ended = self.ctl(&verb, deadline, started)?;
        let said = text(&ended);
        if !ended.status.success() || said.contains("ERROR") {
            return Err(self.failed(Class::Unknown, verb[0]).because(CommandFailure {
                status: format!("supervisorctl {}: {}", verb[0], ended.status),
                output: ended.output,
            }));
        }
        let what = format!("the program {} of supervisord", self.program);
        let see = self.typed(&["tail", &self.program]);
        let of = Settling { what: &what, see: &see, before: &old, at_least: 1, fewer_after: None };
        settle(&of, deadline, &mut || self.up())?;
        Ok(Applied::without_output(format!("supervisorctl {} {}", verb[0], self.program)))
    }

    /// The processes once all of them are up; none while one is not. A program in state FATAL is an error.
    fn up(&self) -> Result<BTreeSet<ProcessId>, Failure> {
        let members = self.members()?;
        if let Some(gone) = members.iter().find(|one| one.state == "FATAL") {
            return Err(Failure::new(
                Class::Unknown,
                Code::RestartFailed,
                format!("see the program {} of supervisord stay up on the new value", self.program),
            )
            .because(format!("supervisord gave {} up (FATAL)", gone.name))
            .help(format!("`{}` tells why", self.typed(&["tail", &gone.name]))));
        }
        let all = members.iter().all(|one| one.state == "RUNNING");
        if all { Ok(mains(&self.processes(&members)?)) } else { Ok(BTreeSet::new()) }
    }

    /// The programs and groups whose configuration differs from the one that supervisord has loaded. The command makes
    /// supervisord read its files again, and activates nothing.
    ///
    /// # Errors
    /// `K0407`: supervisord does not answer, or cannot read its configuration.
    pub fn changed(&self, deadline: Instant) -> Result<Vec<String>, Failure> {
        let ended = self.ctl(&["reread"], deadline, &mut |_| {}).map_err(question)?;
        let said = text(&ended);
        if !ended.status.success() || said.contains("ERROR") {
            let why = if said.contains("CANT_REREAD") {
                "its configuration has an error: nothing was restarted"
            } else {
                "supervisord does not answer"
            };
            return Err(self.unanswered(&said).unwrap_or_else(|| {
                self.failed(Class::Retryable, "reread the configuration of")
                    .because(why)
                    .help(format!("run `{}`, and mend what it shows", self.typed(&["reread"])))
            }));
        }
        let name = |line: &str| {
            let (name, how) = line.split_once(": ")?;
            ["changed", "available", "disappeared"].contains(&how.trim()).then(|| name.trim().to_owned())
        };
        Ok(said.lines().filter_map(name).collect())
    }

    /// Whether supervisord runs a program of that name.
    fn known(&self) -> Result<bool, Failure> {
        Ok(!text(&self.status()?).contains("ERROR (no such"))
    }

    fn status(&self) -> Result<Ended, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        self.ctl(&["status", &format!("{}:*", self.program)], deadline, &mut |_| {}).map_err(question)
    }

    fn members(&self) -> Result<Vec<Member>, Failure> {
        let said = text(&self.status()?);
        let found: Vec<Member> = said.lines().filter_map(Member::of_line).collect();
        let all = format!("{}:", self.program);
        let alike = |one: &Member| one.name == self.program || one.name.starts_with(&all);
        if !found.is_empty() && found.iter().all(alike) {
            return Ok(found);
        }
        Err(self.unanswered(&said).unwrap_or_else(|| {
            let unknown = said.contains("ERROR (no such");
            let why =
                if unknown { "supervisord runs no such program" } else { "its answer has another form" };
            self.failed(Class::Permanent, "find")
                .because(why)
                .help(format!("`{}` shows the names; correct `runs.supervisor`", self.typed(&["status"])))
        }))
    }

    fn processes(&self, members: &[Member]) -> Result<Vec<InstanceProcess>, Failure> {
        let mut pids: Vec<u32> = members.iter().filter_map(|one| one.pid).collect();
        for one in members.iter().filter(|one| one.between()) {
            pids.extend(self.pid_of(&one.name)?);
        }
        let listing = list()?;
        let found = with_workers(&listing, &pids)?;
        // The configuration may lead to a supervisord of another machine or container, with other process ids.
        let named = listing.seen.iter().filter(|process| pids.contains(&process.id.pid));
        for process in named {
            let parent = listing.seen.iter().find(|parent| parent.id.pid == process.ppid);
            if !parent.is_some_and(is_supervisord) {
                let why = format!(
                    "it names process {}, which no supervisord of this machine started",
                    process.id.pid
                );
                return Err(self.failed(Class::Retryable, "find").because(why).help(
                    "run keyroll where that supervisord runs; `serverurl` in its configuration says where that is",
                ));
            }
        }
        Ok(found)
    }

    /// The processes, including those that `status` does not name: one that is starting or stopping has the value that
    /// it was started with. A process that restarts again and again is neither found nor surely absent.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let end = Instant::now() + Duration::from_millis(BETWEEN_MS_MAX);
        loop {
            let members = self.members()?;
            let found = self.processes(&members)?;
            let seen = found.iter().filter(|one| one.main).count();
            let open = members.iter().filter(|one| one.between() || one.pid.is_some()).count();
            let again = members.iter().find(|one| one.state == "BACKOFF");
            if seen >= open && again.is_none() {
                return Ok(found);
            }
            if Instant::now() >= end {
                let which = again.or_else(|| members.iter().find(|one| one.between()));
                return match which {
                    Some(which) => Err(self.between(which, "supervisord names no process of it")),
                    None => Ok(found),
                };
            }
            sleep(Duration::from_millis(BETWEEN_PAUSE_MS));
        }
    }

    /// The process of one program; none right before it is started and after it has ended.
    fn pid_of(&self, name: &str) -> Result<Option<u32>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let said = text(&self.ctl(&["pid", name], deadline, &mut |_| {}).map_err(question)?);
        Ok(said.trim().parse().ok().filter(|pid| *pid > 0))
    }

    /// A command of supervisorctl, as an operator types it in any folder.
    fn typed(&self, words: &[&str]) -> String {
        format!("supervisorctl -c {} {}", shell_word(self.config.display().to_string()), shell_words(words))
    }

    fn between(&self, one: &Member, why: &str) -> Failure {
        let config = self.config.display();
        let what = format!("see the processes of the program {} of {config}", self.program);
        Failure::new(Class::Retryable, Code::ServiceUnusable, what)
            .because(format!("{} is {}, and {why}", one.name, one.state))
            .help(format!("`{}` tells why", self.typed(&["tail", &one.name])))
    }

    /// supervisord itself: its memory holds the environment of its programs.
    fn daemon_pid(&self) -> Option<u32> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let said = text(&self.ctl(&["pid"], deadline, &mut |_| {}).ok()?);
        let process = keyroll_observe::process(said.trim().parse().ok()?).ok()?;
        is_supervisord(&process).then_some(process.id.pid)
    }

    /// Why there is no answer, from supervisorctl's message.
    fn unanswered(&self, said: &str) -> Option<Failure> {
        let named = |word: &str| said.contains(word);
        let (class, why, help) =
            if named("no such file") || named("refused connection") || named("FileNotFound") {
                (Class::Retryable, "it does not run, or its socket is elsewhere", "start supervisord")
            } else if named("PermissionError") || named("ermission denied") {
                (
                    Class::Permanent,
                    "its socket or its configuration belongs to another user",
                    "run keyroll as that user or as root",
                )
            } else {
                return None;
            };
        Some(self.failed(class, "ask supervisord for").because(why).help(help))
    }

    fn failed(&self, class: Class, verb: &str) -> Failure {
        Failure::new(
            class,
            Code::ServiceUnusable,
            format!("{verb} the program {} of {}", self.program, self.config.display()),
        )
    }

    fn ctl(
        &self,
        words: &[&str],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let config = self.config.display().to_string();
        let words = ["-c", &config].into_iter().chain(words.iter().copied());
        let line = CommandLine::program(self.supervisorctl.to_string_lossy(), words);
        run(&line, &With::output(Output::Both), deadline, started)
    }
}

/// A program of supervisord.
pub(crate) static SUPERVISOR: Manager = Manager {
    keys: &[
        Key::new(
            "supervisor",
            KeyForm::Text,
            "The name of the program or group in supervisord: in `supervisorctl status`, the name before the colon.",
        ),
        Key::new(
            "config",
            KeyForm::Path,
            "With `supervisor`: supervisord's configuration file. Default `/etc/supervisor/supervisord.conf`.",
        ),
    ],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ supervisor = \"app\" }",
    facts: &[
        ManagerFact {
            manager: "`supervisor`",
            source: "`environment=` in the configuration",
            verb: "`supervisorctl reread`, `update NAME`",
            wrong: "`supervisorctl restart`: the environment stays the old one",
            downtime: "until the new process is ready",
            evidence: OF_PROCESS,
            test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
            services: &[nightly("supervisor-environment", Away)],
        },
        ManagerFact {
            manager: "`supervisor`",
            source: "a file that the command reads",
            verb: "`supervisorctl restart NAME:*`",
            wrong: "`supervisorctl update`: it sees no change",
            downtime: "until the new process is ready",
            evidence: OF_PROCESS,
            test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
            services: &[nightly("supervisor-file", Away)],
        },
    ],
    survey: None,
    read: |of| {
        let config = of.path("config").unwrap_or(Path::new(CONFIG));
        Ok(Arc::new(Supervisor::new(of.word("supervisor")?, config)))
    },
};

impl Workload for Supervisor {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        let group = format!("{}:*", self.program);
        let (restart, update) = (self.typed(&["restart", &group]), self.typed(&["update", &self.program]));
        AppliedBy::Request(format!("runs {restart}; if its section of the configuration changed: {update}"))
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    /// supervisord's `stopwaitsecs`.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn supervisor_pid(&self) -> Option<u32> {
        self.daemon_pid()
    }

    /// A pending change of the program in supervisord's configuration. Once keyroll itself has written there, such a
    /// change cannot be distinguished from the value.
    fn drift(&self, own: &OwnCopies<'_>) -> Drift {
        let mut drift = Drift::default();
        let what = format!("the program of '{}'", own.consumer);
        let changed = match self.changed(Instant::now() + Duration::from_millis(ASK_MS_MAX)) {
            Ok(changed) => changed,
            Err(failure) => {
                drift.not_visible.push(format!("{what}: could not {}", failure.attempted));
                return drift;
            }
        };
        let written = (own.containing)(SECTION);
        if own.delivered && written.is_some() {
            drift.not_visible.push(format!(
                "whether {what} in its configuration was edited after the plan: keyroll wrote the value there"
            ));
        } else if changed.contains(&self.program) {
            drift.changed_files.push(ChangedFile {
                kind: "supervisor",
                path: written.unwrap_or_else(|| self.config.clone()),
                what: format!(
                    "the program {} in the configuration of supervisord differs from what is running",
                    self.program
                ),
            });
        }
        drift
    }

    fn manager_command(&self) -> Option<&Path> {
        Some(&self.supervisorctl)
    }

    /// The configuration may name programs of its own.
    fn trusted_files(&self) -> Vec<PathBuf> {
        vec![self.config.clone()]
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![ServiceIdentity::placed("supervisord", &self.program, &self.config)]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("the program {} of supervisord", self.program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_status_are_understood() {
        let of = |line: &str| Member::of_line(line).map(|one| (one.name, one.state, one.pid));
        assert_eq!(
            of("w:w_00                           RUNNING   pid 6285, uptime 0:00:01"),
            Some(("w:w_00".into(), "RUNNING".into(), Some(6285)))
        );
        assert_eq!(of("o  STOPPED   Nov 20 11:19 PM"), Some(("o".into(), "STOPPED".into(), None)));
        assert_eq!(of("w  FATAL     Exited too quickly"), Some(("w".into(), "FATAL".into(), None)));
        // A program that runs already, whose process is not reported.
        assert!(
            Member::of_line("w:w_00                           STARTING  ").is_some_and(|one| one.between())
        );
        for other in
            ["", "nosuch: ERROR (no such process)", "unix:///tmp/s.sock no such file", "error: <class"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
