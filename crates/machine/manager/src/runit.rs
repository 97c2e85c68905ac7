//! Services of runit: a supervisor `runsv` for each service directory, controlled through `sv`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId, working_folder};
use keyroll_port::{Class, Failure};

use crate::command::{Ended, Output, With, run};
use crate::declaration::{Key, KeyForm, Manager, Surveyed};
use crate::facts::Notice::Away;
use crate::facts::{OF_PROCESS, daily};
use crate::find::{list, with_workers};
use crate::restart::CommandFailure;
use crate::settle::{Settling, mains, question, settle, text};
use crate::shell_word::shell_word;
use crate::{
    Applied, AppliedBy, Attempt, CommandLine, DraftValue, Drift, InstanceProcess, ManagerFact, OwnCopies,
    ServiceDeclaration, ServiceIdentity, Workload,
};

/// How long one question to `sv` may take, milliseconds.
const ASK_MS_MAX: u64 = 10_000;

/// How long a service may have no process during a restart, milliseconds. runsv waits up to one second before it starts
/// a program again.
const BETWEEN_MS_MAX: u64 = 3_000;

/// How often its state is read in that time, milliseconds.
const BETWEEN_PAUSE_MS: u64 = 100;

/// The supervisor of one service.
const RUNSV: &str = "runsv";

/// A service of runit.
pub(crate) static RUNIT: Manager = Manager {
    keys: &[Key::new(
        "runit",
        KeyForm::Path,
        "The service directory of runit, as `sv` takes it: `/etc/service/bot`.",
    )],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ runit = \"/etc/service/app\" }",
    facts: &[ManagerFact {
        manager: "`runit`",
        source: "a file that `run` reads, such as a folder of `chpst -e`",
        verb: "`sv restart DIR`",
        wrong: "`sv hup DIR`: the environment stays the old one",
        downtime: "until the new process is ready",
        evidence: OF_PROCESS,
        test: "hup_keeps_the_old_environment_and_restart_applies_the_new_one",
        services: &[daily("runit", Away)],
    }],
    survey: Some(survey),
    read: |of| Ok(Arc::new(Runit::new(of.needed_path("runit")?))),
};

/// A service directory of runit (seen with runit 2.1.2).
///
/// `sv restart` ends the process and runs `run` again, which reads its files again; `sv hup` reaches the process
/// that has read the old files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runit {
    /// The service directory.
    pub folder: PathBuf,
    /// The program; `sv` but for tests.
    pub sv: PathBuf,
}

/// The state of the service according to `sv status`.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Its process.
    Runs(u32),
    /// It is down and stays down.
    Down,
    /// One process has ended, and another one is about to be started.
    Between,
}

impl State {
    /// `run: DIR: (pid 6285) 1s, want down; run: log: (pid 6280) 1s`. Source: sv(8); seen with runit 2.1.2.
    fn of_status(said: &str, folder: &str) -> Option<Self> {
        let own = said.lines().next()?.split("; ").next()?;
        let (state, rest) = own.split_once(": ")?;
        let rest = rest.strip_prefix(folder)?.strip_prefix(": ")?;
        let pid = || rest.strip_prefix("(pid ")?.split(')').next()?.parse().ok();
        match state {
            "run" => pid().map(Self::Runs),
            "finish" => Some(Self::Between),
            "down" if rest.contains("want up") => Some(Self::Between),
            "down" => Some(Self::Down),
            _ => None,
        }
    }
}

impl Runit {
    /// The service of a service directory.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), sv: "sv".into() }
    }

    fn state(&self) -> Result<State, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let said = text(&self.sv(&["status"], deadline, &mut |_| {}).map_err(question)?);
        State::of_status(&said, &self.folder.to_string_lossy()).ok_or_else(|| {
            let says = |words: &str| said.contains(words);
            let (class, why) = if says("access denied") || says("ermission denied") {
                (
                    Class::Permanent,
                    "its supervisor belongs to another user: run keyroll as that user or as root",
                )
            } else if says("runsv not running") || says("supervise/ok") {
                (Class::Retryable, "no runsv supervises it")
            } else if says("file does not exist") {
                (Class::Permanent, "there is no such service directory")
            } else {
                (Class::Retryable, "the answer of `sv status` was not understood")
            };
            let see = format!("`sv status {}` shows what keyroll sees", self.folder.display());
            self.failed(class, "find").because(why).help(format!("{see}; correct `runs.runit`"))
        })
    }

    /// The process of the service with its workers. Its parent must be a runsv of this machine: a status file that
    /// another container or machine wrote has other process ids.
    fn processes(&self, pid: u32) -> Result<Vec<InstanceProcess>, Failure> {
        let listing = list()?;
        let found = with_workers(&listing, &[pid])?;
        let parent = |process: &Process| listing.seen.iter().find(|one| one.id.pid == process.ppid);
        let named = listing.seen.iter().find(|one| one.id.pid == pid);
        if named.is_some_and(|process| !parent(process).is_some_and(is_runsv)) {
            let why = format!("it names process {pid}, which no runsv of this machine started");
            let help = "run keyroll where that runsv runs";
            return Err(self.failed(Class::Retryable, "find").because(why).help(help));
        }
        Ok(found)
    }

    /// The main process if it runs; none if it does not.
    fn up(&self) -> Result<BTreeSet<ProcessId>, Failure> {
        match self.state()? {
            State::Runs(pid) => Ok(mains(&self.processes(pid)?)),
            State::Down | State::Between => Ok(BTreeSet::new()),
        }
    }

    fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let end = Instant::now() + Duration::from_millis(BETWEEN_MS_MAX);
        loop {
            match self.state()? {
                State::Runs(pid) => {
                    let found = self.processes(pid)?;
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                State::Down => return Ok(Vec::new()),
                State::Between => {}
            }
            if Instant::now() >= end {
                return Err(self
                    .failed(Class::Retryable, "see the process of")
                    .because("each of its processes exits soon after its start")
                    .help("its log shows why"));
            }
            sleep(Duration::from_millis(BETWEEN_PAUSE_MS));
        }
    }

    fn failed(&self, class: Class, verb: &str) -> Failure {
        Failure::new(
            class,
            Code::ServiceUnusable,
            format!("{verb} the runit service {}", self.folder.display()),
        )
    }

    fn sv(
        &self,
        words: &[&str],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let folder = self.folder.to_string_lossy();
        let words = words.iter().copied().chain([folder.as_ref()]);
        let line = CommandLine::program(self.sv.to_string_lossy(), words);
        run(&line, &With::output(Output::Both), deadline, started)
    }
}

/// Whether a process supervises a service.
fn is_runsv(process: &Process) -> bool {
    process.exe.as_deref().and_then(Path::file_name).is_some_and(|name| name == RUNSV)
        || process.name == RUNSV
}

impl Workload for Runit {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        let shown = self.folder.display();
        let before = mains(&self.instances()?);
        if before.is_empty() {
            return Err(self
                .failed(Class::Permanent, "restart")
                .because("it is down, and a restart would start it")
                .help("start it, or declare it `at_rest`"));
        }
        // By itself sv gives a program seven seconds to end.
        let left = attempt.deadline.saturating_duration_since(Instant::now()).as_secs().max(1).to_string();
        let ended = self.sv(&["-w", &left, "restart"], attempt.deadline, attempt.started)?;
        if !ended.status.success() {
            let said =
                CommandFailure { status: format!("sv restart: {}", ended.status), output: ended.output };
            return Err(self.failed(Class::Unknown, "restart").because(said).help("its log shows why"));
        }
        let (what, see) = (format!("the runit service {shown}"), format!("sv status {shown}"));
        let of = Settling { what: &what, see: &see, before: &before, at_least: 1, fewer_after: None };
        settle(&of, attempt.deadline, &mut || self.up())?;
        Ok(Applied::without_output(format!("sv restart {shown}")))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Command(format!("sv restart {}", shell_word(self.folder.display().to_string())))
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    /// Its `run`, the files that `run` includes, and each variable of the folders that it takes an environment from.
    fn drift(&self, own: &OwnCopies<'_>) -> Drift {
        let run = self.folder.join("run");
        // A script that cannot be read is reported where it is compared.
        let text = std::fs::read_to_string(&run).unwrap_or_default();
        let mut drift = Drift { read_at_start: vec![("runit", run)], ..Drift::default() };
        for source in sources(&text) {
            let mut read = |path: PathBuf| {
                if !own.is_own(&path) {
                    drift.read_at_start.push(("runit", path));
                }
            };
            match source {
                Source::File(name) => read(self.folder.join(name)),
                Source::Folder(name) => match std::fs::read_dir(self.folder.join(name)) {
                    Ok(files) => files.flatten().for_each(|file| read(file.path())),
                    Err(error) => drift.not_visible.push(format!("the environment in {name}: {error}")),
                },
                Source::Unknown(words) => {
                    drift.not_visible.push(format!("what `{words}` in {}/run reads", self.folder.display()))
                }
            }
        }
        drift
    }

    fn manager_command(&self) -> Option<&Path> {
        Some(&self.sv)
    }

    /// `sv restart` runs the script `check`, if there is one, with the rights of the caller.
    fn trusted_files(&self) -> Vec<PathBuf> {
        vec![self.folder.join("check"), self.folder.clone()]
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![identity(&self.folder)]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("the runit service {}", self.folder.display()))
    }
}

/// Something that a `run` script reads before it starts the program; paths are relative to the service directory.
#[derive(Debug, PartialEq, Eq)]
enum Source<'t> {
    /// A script that it includes.
    File(&'t str),
    /// A folder with a file for each variable, of chpst or envdir.
    Folder(&'t str),
    /// Only the shell knows which.
    Unknown(String),
}

/// What the words of a `run` script name as sources. Source: chpst(8), envdir(8); seen with runit 2.1.2.
fn sources(run: &str) -> Vec<Source<'_>> {
    let mut found = Vec::new();
    for line in run.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> =
            line.split([' ', '\t', ';']).map(|word| word.trim_matches(['"', '\''])).collect();
        let chpst = words.iter().position(|word| word.rsplit('/').next() == Some("chpst"));
        for (at, two) in words.windows(2).enumerate() {
            let [word, next] = two else { continue };
            let of_chpst = chpst.is_some_and(|chpst| chpst < at);
            let (how, name): (fn(_) -> _, _) = match *word {
                "." | "source" => (Source::File, *next),
                "-e" if of_chpst => (Source::Folder, *next),
                _ if word.rsplit('/').next() == Some("envdir") => (Source::Folder, *next),
                _ => match word.strip_prefix("-e") {
                    Some(name) if of_chpst => (Source::Folder, name),
                    Some(_) | None => continue,
                },
            };
            // Only the shell can expand it.
            let unknown = name.is_empty() || name.contains(['$', '`', '*', '?', '~']);
            found.push(if unknown { Source::Unknown(format!("{word} {next}")) } else { how(name) });
        }
    }
    found
}

fn identity(folder: &Path) -> ServiceIdentity {
    // The folder below /etc/service is usually a link to the one that runsv works in.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ServiceIdentity::placed("runit", name, &real)
}

/// Every service that a runsv of this machine supervises: it works in its service directory, and its own log service in
/// a folder below.
fn survey(listing: &Listing) -> Vec<Surveyed> {
    let supervisors = listing.seen.iter().filter(|process| is_runsv(process));
    let service = |runsv: &Process| {
        let folder = working_folder(&runsv.id).ok()?;
        let pid = std::fs::read_to_string(folder.join("supervise/pid")).unwrap_or_default();
        let pid: Option<u32> = pid.trim().parse().ok();
        let is_main = |one: &&Process| one.ppid == runsv.id.pid && Some(one.id.pid) == pid;
        let identity = identity(&folder);
        let (name, runs) = (identity.name.clone(), [("runit", DraftValue::path(&folder))]);
        let restart = format!("sv restart {}", shell_word(folder.display().to_string()));
        Some(Surveyed {
            declaration: ServiceDeclaration {
                identity: Some(identity),
                restart: Some(restart),
                ..ServiceDeclaration::new("runit", name, runs)
            },
            main: listing.seen.iter().find(is_main).map(|one| one.id),
            not_applied_by: format!("sv hup {}", shell_word(folder.display().to_string())),
            folder: Some(folder),
        })
    };
    supervisors.filter_map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_run_reads_is_named() {
        let run = "#!/bin/sh\n# . ./not\n. ./common.sh; exec /usr/bin/chpst -u app -e './env' -e/etc/more ./app -e no\n\
                   exec envdir ./other grep -e pattern\nsource $HOME/mine\n";
        let (file, folder) = (Source::File, Source::Folder);
        let unknown = Source::Unknown("source $HOME/mine".into());
        // Words after the program look like options of chpst, too: then a folder that does not exist is named.
        let all = [
            file("./common.sh"),
            folder("./env"),
            folder("/etc/more"),
            folder("no"),
            folder("./other"),
            unknown,
        ];
        assert_eq!(sources(run), all);
        assert_eq!(sources("exec ./app -e env\n"), []);
    }

    #[test]
    fn lines_of_status_are_understood() {
        let of = |said: &str| State::of_status(said, "/s/app");
        assert_eq!(of("run: /s/app: (pid 6285) 1s"), Some(State::Runs(6285)));
        assert_eq!(of("run: /s/app: (pid 7) 1s, want down; down: log: 3s"), Some(State::Runs(7)));
        assert_eq!(of("down: /s/app: 5s, normally up; run: log: (pid 8) 3s"), Some(State::Down));
        assert_eq!(of("down: /s/app: 0s, normally up, want up"), Some(State::Between));
        assert_eq!(of("finish: /s/app: (pid 9) 0s"), Some(State::Between));
        for other in
            ["", "fail: /s/app: runsv not running", "run: /s/other: (pid 1) 1s", "run: /s/app: (pid x) 1s"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
