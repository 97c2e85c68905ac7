//! A container that was started by hand, with `docker run`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId};
use keyroll_port::{Class, Failure, FailureKind};

use crate::command::{Output, With};
use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::docker::{Docker, STOP_GRACE, State, is_init, processes_of, unknown};
use crate::facts::Notice::Away;
use crate::facts::{OF_PROCESS, daily, nightly};
use crate::find::list;
use crate::reread::{READS_ITSELF, REREADS_FILE};
use crate::restart::restart;
use crate::shell_word::shell_word;
use crate::{
    Applied, AppliedBy, Attempt, CommandLine, Comparison, DraftValue, Drift, InstanceProcess, ManagerFact,
    OwnCopies, ServiceDeclaration, ServiceIdentity, Workload,
};

/// How long a container's state may take to be told, milliseconds.
const FIND_MS_MAX: u64 = 20_000;

/// A plain container. `docker restart` applies a value in a mounted file; an environment stays what it was when the
/// container was created, so a value in one needs the command that created it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine.
    pub docker: Docker,
    /// Its name.
    pub name: String,
    /// What applies a value.
    pub verb: ContainerVerb,
    /// How long it must stay up, and healthy where it has a health check, to count as applied.
    pub settle: Duration,
}

/// What makes a container take a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerVerb {
    /// `docker restart`: the same container, with its mounts set up again.
    Restart,
    /// A command that recreates it, with its own `docker run`.
    Recreate(CommandLine),
    /// Nothing: it reads its file again by itself.
    Rereads,
}

impl Container {
    /// A container by hand that a survey found. A restart of it applies a changed mounted file and nothing else.
    pub fn declaration(name: &str) -> ServiceDeclaration {
        let restart = DraftValue::FillIn {
            file: "make-{name}.sh",
            what: "the command that recreates the container: a restart reuses the container's original environment",
            unless_from_file: true,
        };
        let runs = [("container", DraftValue::text(name)), ("restart", restart)];
        ServiceDeclaration {
            identity: Some(ServiceIdentity::named("docker", name)),
            restart: Some(format!("docker restart {}", shell_word(name))),
            ..ServiceDeclaration::new(Docker::NAME, name, runs)
        }
    }

    /// A container on this machine's engine that must stay up for two seconds.
    pub fn new(name: impl Into<String>, verb: ContainerVerb) -> Self {
        Self { docker: Docker::default(), name: name.into(), verb, settle: Duration::from_secs(2) }
    }

    fn state(&self) -> Result<State, Failure> {
        let deadline = Instant::now() + Duration::from_millis(FIND_MS_MAX);
        let found = self.docker.inspect(&[&self.name], deadline)?.into_iter().next();
        found.ok_or_else(|| self.failed(Class::Permanent, "find"))
    }

    fn failed(&self, class: Class, verb: &str) -> Failure {
        Failure::new(
            class,
            Code::ContainerUnusable,
            format!("{verb} the container {}", self.name.escape_debug()),
        )
        .kind(FailureKind::ServiceUnusable)
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        // A command that recreates it may have removed it: then any container found afterwards is a new one.
        let before = self.state().ok();
        let (done, output) = match &self.verb {
            ContainerVerb::Rereads => {
                return Ok(Applied::without_output("nothing to do: it reads its file again by itself"));
            }
            ContainerVerb::Recreate(line) => {
                let applied = restart(line, deadline, started)?;
                (applied.done, applied.output)
            }
            ContainerVerb::Restart => {
                if self.state()?.stopped() {
                    return Err(self
                        .failed(Class::Permanent, "restart")
                        .because("it is stopped, and a restart would start it")
                        .help("declare it `at_rest`, or start it"));
                }
                let words = ["restart", "--", &self.name];
                let ended = self.docker.run(&words, &With::output(Output::Drain), deadline, started)?;
                if !ended.status.success() {
                    let what = format!("carry out `docker restart {}`", self.name);
                    return Err(Failure::new(Class::Unknown, Code::ContainerUnusable, what)
                        .because(ended.status.to_string())
                        .help("run it by hand to see why"));
                }
                (format!("restarted the container {}", self.name), None)
            }
        };
        let now = self.state().map_err(unknown)?;
        if before.is_some_and(|before| before.life() == now.life()) {
            return Err(Failure::new(
                Class::Unknown,
                Code::ContainerUnusable,
                format!("see the container {} restarted", self.name),
            )
            .because("the command ended with success, and the container runs as it did before")
            .help("correct the command that recreates it"));
        }
        self.docker.settle(&format!("the container {}", self.name), &[&now.id], self.settle, deadline)?;
        Ok(Applied { done, output })
    }

    /// The processes are listed after the engine has told which they are.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        match self.state() {
            Ok(state) => processes_of(&[state], &list()?),
            // A command that recreates the container removes it first: then no container runs.
            Err(failure)
                if failure.kind == FailureKind::ServiceUnusable
                    && matches!(self.verb, ContainerVerb::Recreate(_)) =>
            {
                Ok(Vec::new())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether this file itself is mounted into it: such a mount keeps showing the old file after a rename.
    ///
    /// # Errors
    /// The engine does not tell.
    pub fn mounts_alone(&self, file: &Path) -> Result<bool, Failure> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mounts = self.state()?.mounts;
        Ok(mounts.iter().any(|mount| mount.kind == "bind" && real(&mount.source) == real(file)))
    }
}

/// A container that was started by hand.
pub(crate) static CONTAINER: Manager = Manager {
    keys: &[Key::new(
        "container",
        KeyForm::Text,
        "The name of a container that was started with `docker run`. keyroll runs `docker restart`, which applies only a mounted file. If the container's environment holds the value, set `restart` to the command that recreates the container.",
    )],
    with: &["restart", "rereads", "ready", "drain"],
    only: "`container` goes with `restart` or `rereads`, and with `ready` and `drain` only",
    example: "{ container = \"web\" }",
    facts: &[
        ManagerFact {
            manager: "`container`",
            source: "a mounted file",
            verb: "`docker restart`",
            wrong: "replacing a file that is itself mounted: the container keeps the old inode",
            downtime: "until it is healthy",
            evidence: OF_PROCESS,
            test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
            services: &[daily("container-file", Away)],
        },
        ManagerFact {
            manager: "`container`",
            source: "its environment",
            verb: "the command that recreates it (`restart`)",
            wrong: "`docker restart`: the environment stays the old one",
            downtime: "until it is healthy",
            evidence: OF_PROCESS,
            test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
            services: &[nightly("container-environment", Away)],
        },
    ],
    survey: None,
    read: |of| {
        let verb = match (of.command("restart"), of.has("rereads")) {
            (Some(_), true) => return Err(DeclarationError::combination(CONTAINER.only)),
            (Some(line), false) => ContainerVerb::Recreate(line.clone()),
            (None, true) => ContainerVerb::Rereads,
            (None, false) => ContainerVerb::Restart,
        };
        Ok(Arc::new(Container::new(of.docker_name("container")?, verb)))
    },
};

impl Workload for Container {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        match &self.verb {
            ContainerVerb::Restart => {
                AppliedBy::Command(format!("docker restart {}", shell_word(&self.name)))
            }
            ContainerVerb::Recreate(line) => AppliedBy::line(line),
            ContainerVerb::Rereads => AppliedBy::Nothing(REREADS_FILE),
        }
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }

    fn is_handed_on_by(&self, process: &Process) -> bool {
        self.docker.has_as_engine(process)
    }

    fn is_init(&self, process: &ProcessId) -> bool {
        is_init(process)
    }

    fn engine(&self) -> Option<&Docker> {
        Some(&self.docker)
    }

    fn needs_reload(&self) -> bool {
        self.verb != ContainerVerb::Rereads
    }

    fn starts_new_process(&self) -> bool {
        self.verb != ContainerVerb::Rereads
    }

    fn comparison(&self) -> Comparison {
        match self.verb {
            ContainerVerb::Restart | ContainerVerb::Recreate(_) => Comparison::Restarted,
            ContainerVerb::Rereads => READS_ITSELF,
        }
    }

    fn restart_command(&self) -> Option<&CommandLine> {
        match &self.verb {
            ContainerVerb::Recreate(line) => Some(line),
            ContainerVerb::Restart | ContainerVerb::Rereads => None,
        }
    }

    /// A container that is restarted keeps its image and its environment; one that a command recreates does not.
    fn drift(&self, own: &OwnCopies<'_>) -> Drift {
        let mut drift = Drift::default();
        if self.restart_command().is_some() {
            let what = format!("what else '{}' is made with", own.consumer);
            drift.not_visible.push(format!("{what}: only its restart command knows"));
        }
        drift
    }

    fn misses_rename_of(&self, file: &Path) -> Result<Option<Failure>, Failure> {
        if self.verb != ContainerVerb::Rereads || !self.mounts_alone(file)? {
            return Ok(None);
        }
        let what = format!("show the container {} another {}", self.name, file.display());
        Ok(Some(
            Failure::new(Class::Permanent, Code::FileNotReplaceable, what)
                .because("the file itself is mounted, and the mount keeps showing the old file")
                .help("write = \"in_place\" beside `file` under `reads`; or mount the folder above it"),
        ))
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![ServiceIdentity::named("docker", &self.name)]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("the container {}", self.name))
    }
}
