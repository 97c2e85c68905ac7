//! The container engine of this machine, through its own command: no value in an argument, answers read as JSON.

pub(crate) mod sources;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId, descendants};
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use crate::InstanceProcess;
use crate::command::{CommandLine, Ended, Output, With, run};
use crate::settle::question;

/// How long one question to the engine may take, milliseconds.
const ASK_MS_MAX: u64 = 20_000;

/// How often a container's state is read while it settles, milliseconds.
const SETTLE_STEP_MS: u64 = 200;

/// The largest answer, bytes: a longer one was cut off.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The engine's default socket. Source: docker(1).
const SOCKET: &str = "unix:///var/run/docker.sock";

/// Exit codes of a container that was stopped: success, SIGKILL, SIGTERM.
const STOPPED: [i64; 3] = [0, 137, 143];

/// The queried properties of a container: no environment, no other labels, no output of health checks.
pub(crate) const STATE: &str = concat!(
    r#"{"id":{{json .Id}},"name":{{json .Name}},"image":{{json .Image}},"status":{{json .State.Status}},"#,
    r#""pid":{{json .State.Pid}},"exit":{{json .State.ExitCode}},"oom":{{json .State.OOMKilled}},"started":{{json .State.StartedAt}},"#,
    r#""restarts":{{json .RestartCount}},"#,
    r#""health":{{with index .State "Health"}}{{json .Status}}{{else}}null{{end}},"#,
    r#""project":{{json (index .Config.Labels "com.docker.compose.project")}},"#,
    r#""files":{{json (index .Config.Labels "com.docker.compose.project.config_files")}},"#,
    r#""folder":{{json (index .Config.Labels "com.docker.compose.project.working_dir")}},"#,
    r#""variables":{{json (index .Config.Labels "com.docker.compose.project.environment_file")}},"#,
    r#""compose":{{json (index .Config.Labels "com.docker.compose.version")}},"#,
    r#""replaces":{{json (index .Config.Labels "com.docker.compose.replace")}},"#,
    r#""mounts":{{json .Mounts}}}"#
);

/// The engine of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// The program; `docker` but for tests.
    pub program: PathBuf,
    /// Its socket, as `unix:///var/run/docker.sock`.
    pub host: String,
}

impl Default for Docker {
    /// The socket in `DOCKER_HOST`, or the system's own.
    #[expect(clippy::disallowed_methods, reason = "where the engine listens is said by its own variable")]
    fn default() -> Self {
        let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self { program: "docker".into(), host: named.unwrap_or_else(|| SOCKET.to_owned()) }
    }
}

/// What the engine says of one container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub(crate) status: String,
    pub(crate) pid: u32,
    pub(crate) exit: i64,
    /// The kernel killed it because memory ran out.
    pub(crate) oom: bool,
    pub(crate) started: String,
    pub(crate) restarts: u64,
    /// `starting`, `healthy`, `unhealthy`; `None` without a health check.
    pub(crate) health: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) files: Option<String>,
    pub(crate) folder: Option<String>,
    pub(crate) variables: Option<String>,
    pub(crate) compose: Option<String>,
    /// The container that this one replaces.
    pub(crate) replaces: Option<String>,
    pub(crate) mounts: Vec<Mount>,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Mount {
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) source: PathBuf,
    #[serde(default)]
    pub(crate) destination: PathBuf,
}

impl State {
    pub(crate) fn runs(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }

    /// An operator stopped it: it exited with success, or by the signals of `docker stop`. A container that failed by
    /// itself must be restarted; otherwise nothing could be repaired after a bad start.
    pub(crate) fn stopped(&self) -> bool {
        let ended = matches!(self.status.as_str(), "exited" | "dead");
        ended && !self.oom && STOPPED.contains(&self.exit)
    }

    pub(crate) fn shown(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// The parts of the state that must not change while it settles.
    pub(crate) fn life(&self) -> (&str, &str, u64) {
        (&self.id, &self.started, self.restarts)
    }
}

impl Docker {
    /// The engine in reports.
    pub const NAME: &'static str = "docker";

    /// How many digits of a container's id tell it from the others, as docker displays it.
    pub const ID_DIGITS: usize = 12;

    /// The user whose engine it is, by its socket.
    pub fn owner(&self) -> Option<u32> {
        std::fs::metadata(self.host.strip_prefix("unix://")?).ok().map(|meta| meta.uid())
    }

    /// The state of these containers, by id or name, in their order.
    pub(crate) fn inspect(&self, which: &[&str], deadline: Instant) -> Result<Vec<State>, Failure> {
        self.inspect_unless(which, &[], deadline)
    }

    /// The same for containers that were just listed: one that was removed since is omitted.
    pub(crate) fn inspect_listed(&self, which: &[&str], deadline: Instant) -> Result<Vec<State>, Failure> {
        self.inspect_unless(which, &GONE, deadline)
    }

    /// The same; a complaint with one of these words is no failure.
    fn inspect_unless(
        &self,
        which: &[&str],
        spared: &[&str],
        deadline: Instant,
    ) -> Result<Vec<State>, Failure> {
        if which.is_empty() {
            return Ok(Vec::new());
        }
        let words = ["container", "inspect", "--format", STATE, "--"];
        let answered = self.answered(&[&words, which].concat(), None, deadline)?;
        if !answered.status.success() && !answered.says(spared) {
            return Err(answered.failure(self, &words));
        }
        states(&answered.output)
    }

    /// The containers that do not run, by name, each with the environment and the command that it would start with.
    ///
    /// # Errors
    /// The engine does not answer: `K0420`.
    pub fn stopped(&self) -> Result<Vec<(String, SecretBytes)>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let states = ["--filter", "status=exited", "--filter", "status=created", "--filter", "status=dead"];
        let words = [&["ps", "--all", "--quiet", "--no-trunc"][..], &states].concat();
        let (ids, _) = self.ask(&words, None, deadline)?;
        let ids = String::from_utf8_lossy(ids.expose()).into_owned();
        let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let form = "{{.Name}}\t{{json .Config.Env}}{{json .Config.Cmd}}{{json .Config.Entrypoint}}";
        let words = [&["container", "inspect", "--format", form, "--"][..], &ids].concat();
        // A container that is being removed right now is omitted.
        let ended = self.run(&words, &With::output(Output::List), deadline, &mut |_| {}).map_err(question)?;
        let answer = ended.output.ok_or_else(other_version)?;
        let one = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b'\t')?;
            let (name, starts_with) = line.split_at(at);
            let name = String::from_utf8_lossy(name).trim_start_matches('/').to_owned();
            Some((name, SecretBytes::new(starts_with.to_vec())))
        };
        Ok(answer.expose().split(|byte| *byte == b'\n').filter_map(one).collect())
    }

    /// The output of a query, and its standard error. A query changes nothing, so an unknown outcome is retryable.
    pub(crate) fn ask(
        &self,
        words: &[&str],
        input: Option<&SecretBytes>,
        deadline: Instant,
    ) -> Result<(SecretBytes, SecretBytes), Failure> {
        let answered = self.answered(words, input, deadline)?;
        if !answered.status.success() {
            return Err(answered.failure(self, words));
        }
        Ok((answered.output, answered.complaint))
    }

    fn answered(
        &self,
        words: &[&str],
        input: Option<&SecretBytes>,
        deadline: Instant,
    ) -> Result<Answered, Failure> {
        let deadline = deadline.min(Instant::now() + Duration::from_millis(ASK_MS_MAX));
        let with = With { input, ..With::output(Output::Answer) };
        let ended = self.run(words, &with, deadline, &mut |_| {}).map_err(|mut failure| {
            if failure.class == Class::Unknown {
                failure.class = Class::Retryable;
            }
            failure
        })?;
        let nothing = || SecretBytes::new(Vec::new());
        let answered = Answered {
            status: ended.status,
            output: ended.output.unwrap_or_else(nothing),
            complaint: ended.complaint.unwrap_or_else(nothing),
        };
        if answered.output.len() >= ANSWER_BYTES_MAX {
            return Err(other_version());
        }
        Ok(answered)
    }

    /// Runs a command; its exit status shows whether it succeeded.
    pub(crate) fn run(
        &self,
        words: &[&str],
        with: &With<'_>,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let socket = self.host.strip_prefix("unix://").ok_or_else(|| {
            Failure::new(
                Class::Permanent,
                Code::ContainerUnusable,
                "talk to the container engine of this machine",
            )
            .because("DOCKER_HOST names an engine that is not behind a socket of this machine")
            .help("run keyroll on the machine of the containers, without DOCKER_HOST")
        })?;
        if std::fs::symlink_metadata(Path::new(socket))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Err(absent(&self.host, "its socket is not there"));
        }
        let words = ["--host", &self.host].into_iter().chain(words.iter().copied());
        let line = CommandLine::program(self.program.to_string_lossy(), words);
        run(&line, with, deadline, started).map_err(|failure| {
            if failure.kind == FailureKind::ProgramNotStarted {
                absent(&self.host, "the program `docker` could not be started")
            } else {
                failure
            }
        })
    }

    /// Waits until these containers have been up, and healthy if they have a health check, for the whole settle time.
    ///
    /// A container that dies shortly after its start is first shown as running, and one may be healthy for a second.
    pub(crate) fn settle(
        &self,
        what: &str,
        which: &[&str],
        settle: Duration,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let fell = |why: String| {
            Err(Failure::new(Class::Unknown, Code::ContainerUnusable, format!("see {what} stay up"))
                .because(why)
                .help("`docker logs` of the container tells why"))
        };
        let first = self.inspect(which, deadline).map_err(unknown)?;
        let mut now = first.clone();
        let mut since: Option<Instant> = None;
        loop {
            for (before, one) in first.iter().zip(&now) {
                let name = one.shown();
                if one.status != "running" {
                    return fell(format!("{name} is {} (exit {})", one.status, one.exit));
                }
                if one.life() != before.life() {
                    return fell(format!("{name} was started again by the engine"));
                }
                match one.health.as_deref() {
                    Some("unhealthy") => return fell(format!("{name} is unhealthy")),
                    Some("starting") if since.is_some() => {
                        return fell(format!("{name} was healthy and is not any more"));
                    }
                    _ => {}
                }
            }
            let well = now.iter().all(|one| matches!(one.health.as_deref(), None | Some("healthy")));
            if well && since.get_or_insert_with(Instant::now).elapsed() >= settle {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let why = if well { "before it had settled" } else { "before its health check passed" };
                return fell(format!("the deadline came {why}"));
            }
            sleep(Duration::from_millis(SETTLE_STEP_MS));
            now = self.inspect(which, deadline).map_err(unknown)?;
        }
    }
}

/// The processes of containers: their first process and its descendants. A process that was executed from outside (a
/// health check, a shell) ends with them and is no instance.
///
/// # Errors
/// `K0411`: one of them runs and is not visible: ended in this moment, hidden, or of another machine.
pub(crate) fn processes_of(states: &[State], listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
    let mut found = Vec::new();
    for state in states.iter().filter(|state| state.runs()) {
        let main = listing.seen.iter().find(|process| process.id.pid == state.pid);
        let main = main.ok_or_else(|| {
            Failure::new(
                Class::Retryable,
                Code::ProcessesHidden,
                format!("look at the container {}", state.shown()),
            )
            .because(format!("its first process, {}, is not visible here", state.pid))
            .help("run keyroll as root, on the machine of the containers")
        })?;
        found.push(InstanceProcess { process: main.id, instance: None, main: true });
        found.extend(descendants(listing, main.id).into_iter().map(|worker| InstanceProcess {
            process: worker.id,
            instance: None,
            main: false,
        }));
    }
    Ok(found)
}

/// The question without its options, which are long.
fn asked(words: &[&str]) -> String {
    words.iter().take_while(|word| !word.starts_with('-')).copied().collect::<Vec<_>>().join(" ")
}

fn states(answer: &SecretBytes) -> Result<Vec<State>, Failure> {
    let lines = answer.expose().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|_| other_version())).collect()
}

/// The answer to a query. It may hold another service's value, and is never shown.
struct Answered {
    status: ExitStatus,
    output: SecretBytes,
    complaint: SecretBytes,
}

impl Answered {
    fn says(&self, words: &[&str]) -> bool {
        let said = String::from_utf8_lossy(self.complaint.expose());
        words.iter().any(|word| said.contains(word))
    }

    fn failure(&self, docker: &Docker, words: &[&str]) -> Failure {
        let failure = refused(&String::from_utf8_lossy(self.complaint.expose()), &docker.host);
        failure.unwrap_or_else(|| {
            let what = format!("ask `docker {}`", asked(words));
            Failure::new(Class::Permanent, Code::ContainerUnusable, what)
                .kind(FailureKind::ServiceUnusable)
                .because(self.status.to_string())
                .help("run that command by hand as keyroll's user to see why")
        })
    }
}

/// What docker 20 to 28 says of something that it does not have.
const GONE: [&str; 3] = ["No such container", "no such service", "No such object"];

fn absent(host: &str, why: &str) -> Failure {
    Failure::new(Class::Retryable, Code::ContainerUnusable, format!("talk to the container engine at {host}"))
        .kind(FailureKind::ManagerAbsent)
        .because(why)
        .help("start the engine, or name its socket: DOCKER_HOST=unix:///PATH")
}

pub(crate) fn other_version() -> Failure {
    Failure::new(Class::Permanent, Code::ContainerUnusable, "understand the container engine")
        .kind(FailureKind::ManagerUnsupported)
        .because("docker answered in a form that is not known")
        .help("`docker version` and `docker compose version` show which they are; compose must be version 2 or later")
}

/// The failure behind a message of docker 20 to 28; `None` = another message.
fn refused(said: &str, host: &str) -> Option<Failure> {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["permission denied while trying to connect", "dial unix"]) && says(&["permission denied"]) {
        return Some(
            Failure::new(
                Class::Permanent,
                Code::ContainerUnusable,
                format!("talk to the container engine at {host}"),
            )
            .because("this user may not use its socket")
            .help("run keyroll as root, or as a user who may run `docker ps`"),
        );
    }
    if says(&["Cannot connect to the Docker daemon", "connection refused", "Is the docker daemon running"]) {
        return Some(absent(host, "nothing answers at its socket"));
    }
    if says(&[
        "is not a docker command",
        "unknown command: docker compose",
        "unknown shorthand flag",
        "unknown flag",
    ]) {
        return Some(
            Failure::new(Class::Permanent, Code::ContainerUnusable, "run `docker compose`")
                .kind(FailureKind::ManagerUnsupported)
                .because("docker has no compose plugin here, or an old one")
                .help("install the plugin docker-compose-plugin (version 2 or later); docker-compose of version 1 is not used"),
        );
    }
    if says(&["client version", "API version"]) {
        return Some(other_version());
    }
    if says(&GONE) {
        return Some(
            Failure::new(Class::Permanent, Code::ContainerUnusable, "find the container or service")
                .kind(FailureKind::ServiceUnusable)
                .because("the engine has no container or service of this name")
                .help("`docker ps -a` and `docker compose ls` show what there is; correct `runs`"),
        );
    }
    None
}

/// After the command has run, a failed query leaves the effect unknown.
pub(crate) fn unknown(mut failure: Failure) -> Failure {
    failure.class = Class::Unknown;
    failure
}

/// How long the engine waits for a container to end before it kills it. Source: `docker stop --help`.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// The init processes that start the program of a container: that of the engine for `init: true` (docker-run(1), --init), and
/// those that images have as their entry point.
const INITS: [&str; 4] = ["docker-init", "tini", "tini-static", "dumb-init"];

/// Whether a process is such an init process: it hands its environment on to the program below, which is the instance, and waits.
pub(crate) fn is_init(process: &ProcessId) -> bool {
    let Ok(found) = keyroll_observe::process(process.pid) else { return false };
    let name = found.exe.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    found.id == *process && name.is_some_and(|name| INITS.contains(&name))
}

/// Programs of the engine that pass an environment on.
const PROGRAMS: [&str; 5] = ["dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "runc"];

impl Docker {
    /// Whether a process is part of this engine.
    pub(crate) fn has_as_engine(&self, process: &Process) -> bool {
        let program = process.exe.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        program.is_some_and(|name| PROGRAMS.contains(&name))
            && process.uid.is_some()
            && process.uid == self.owner()
    }
}
