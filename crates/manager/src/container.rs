//! A container that was started by hand, with `docker run`.

use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

use crate::command::{Output, With};
use crate::docker::{Docker, State, processes_of, unknown};
use crate::find::list;
use crate::process::restart;
use crate::{Applied, CommandLine, InstanceProcess};

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
    /// `docker restart`: the same container, with its mounts made anew.
    Restart,
    /// A command that makes it anew, with its own `docker run`.
    Recreate(CommandLine),
    /// Nothing: it reads its file again by itself.
    Rereads,
}

impl Container {
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
        Failure::new(class, "K0424", format!("{verb} the container {}", self.name.escape_debug()))
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        // One that a command makes anew may be gone: then whatever is there afterwards is another.
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
                        .help("declare it `at_rest`, or start it, then `keyroll resume`"));
                }
                let words = ["restart", "--", &self.name];
                let ended = self.docker.run(&words, &With::output(Output::Drain), deadline, started)?;
                if !ended.status.success() {
                    let what = format!("carry out `docker restart {}`", self.name);
                    return Err(Failure::new(Class::Unknown, "K0426", what)
                        .because(ended.status.to_string())
                        .help("run it by hand to see why, then `keyroll resume` or `keyroll abort`"));
                }
                (format!("restarted the container {}", self.name), None)
            }
        };
        let now = self.state().map_err(unknown)?;
        if before.is_some_and(|before| before.life() == now.life()) {
            return Err(Failure::new(
                Class::Unknown,
                "K0425",
                format!("see the container {} started anew", self.name),
            )
            .because("the command ended with success, and the container runs as it did before")
            .help("correct the command that makes it anew, then `keyroll resume`"));
        }
        self.docker.settle(&format!("the container {}", self.name), &[&now.id], self.settle, deadline)?;
        Ok(Applied { done, output })
    }

    /// The processes are listed after the engine has told which they are.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        match self.state() {
            Ok(state) => processes_of(&[state], &list()?),
            // A command that makes it anew removes it first: then none runs.
            Err(failure) if failure.code == "K0424" && matches!(self.verb, ContainerVerb::Recreate(_)) => {
                Ok(Vec::new())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether this very file is mounted into it: such a mount goes on showing the file of before after a rename.
    ///
    /// # Errors
    /// The engine does not tell.
    pub fn mounts_alone(&self, file: &Path) -> Result<bool, Failure> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mounts = self.state()?.mounts;
        Ok(mounts.iter().any(|mount| mount.kind == "bind" && real(&mount.source) == real(file)))
    }
}
