//! The interface of every manager: how it applies a value, which processes it runs, and what the other
//! rooms ask about it. No other room branches on a manager.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_observe::{Listing, Process, ProcessId};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use crate::find::list;
use crate::{
    AgentRows, Applied, AppliedBy, Attempt, Check, CommandLine, Docker, Drift, Find, Generation,
    InstanceProcess, OwnCopies, ServiceIdentity, SurveyedConsumer, Unit,
};

/// A workload that is shared between rooms.
pub type SharedWorkload = Arc<dyn Workload>;

/// The workload of one consumer. Each manager implements it in its own file.
///
/// The defaults are those of a service that its manager restarts with a new process.
pub trait Workload: Debug + Send + Sync {
    /// Applies the value that the copies hold now; [`apply`] documents the outcome.
    ///
    /// # Errors
    /// As [`apply`].
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure>;

    /// How keyroll makes it take a value, before it does. Only an agent that [`Workload::is_asked`] reads files for that.
    fn applied_by(&self) -> AppliedBy;

    /// What keyroll ends beside the value once it is applied, such as a pause that the former key caused, a clause; `None` =
    /// nothing.
    fn also_ends(&self) -> Option<String> {
        None
    }

    /// The running processes, forked workers included, looked up in a fresh listing. A manager that
    /// names processes itself takes its own listing after its answer. Empty = none runs.
    ///
    /// # Errors
    /// It is unknown: a process that is not visible never counts as "none".
    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure>;

    /// Whether [`Workload::instances_in`] searches the listing that it is given.
    fn needs_listing(&self) -> bool {
        false
    }

    /// Whether a command, a signal or a request makes it take a value. If so, an instance that is missing afterwards
    /// has failed; it is not a job at rest.
    fn needs_reload(&self) -> bool {
        true
    }

    /// Whether it is a job: its next run takes the value, and a run that began before ends by itself.
    fn is_job(&self) -> bool {
        false
    }

    /// Whether a new process takes the value. Only the environment of such a process is evidence of the new value.
    fn starts_new_process(&self) -> bool {
        true
    }

    /// The generations that run now, where a change of this file makes the program begin anew inside of its process. `None`
    /// = such a change does not.
    ///
    /// # Errors
    /// It is not visible.
    fn generations(&self, _file: &Path) -> Result<Option<Vec<Generation>>, Failure> {
        Ok(None)
    }

    /// Whether the verb itself replaces the processes one by one and waits until each new one answers.
    fn is_rolling(&self) -> bool {
        false
    }

    /// Whether a single instance is down while the value is applied.
    fn has_downtime(&self) -> bool {
        self.starts_new_process() && !self.is_job()
    }

    /// Whether only its own machine shows whether a new process takes the value and whether it is down meanwhile: an adapter
    /// is asked there, and the files of an agent are read there.
    fn is_asked(&self) -> bool {
        false
    }

    /// How long the manager waits for the old process to end before it kills it, unless the operator configured another
    /// time.
    fn stop_grace(&self) -> Duration {
        Duration::ZERO
    }

    /// The manager's own process. Its memory holds the values that it passes to the processes that it starts, and it
    /// never presents one to an issuer.
    fn supervisor_pid(&self) -> Option<u32> {
        None
    }

    /// Whether this process is the manager, which read the value only to pass it on to the processes that it starts.
    fn is_handed_on_by(&self, _process: &Process) -> bool {
        false
    }

    /// Files that the manager itself writes when a value is applied, and from which it starts others later.
    fn kept_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether a restart can be compared with what runs now.
    fn comparison(&self) -> Comparison {
        Comparison::Restarted
    }

    /// The command by which keyroll restarts it, where the configuration names one.
    fn restart_command(&self) -> Option<&CommandLine> {
        None
    }

    /// Pending changes of the manager's own configuration that go live with the restart.
    fn drift(&self, _own: &OwnCopies<'_>) -> Drift {
        Drift::default()
    }

    /// Whether its environment comes from its own files alone, so that a variable that none of them names is reported.
    fn starts_from_files_alone(&self) -> bool {
        false
    }

    /// The systemd unit that runs it.
    fn unit(&self) -> Option<&Unit> {
        None
    }

    /// Whether one of its processes only starts the program below it and waits, and never uses the value itself. What is below
    /// it follows it in [`Workload::instances_in`].
    fn is_init(&self, _process: &ProcessId) -> bool {
        false
    }

    /// The container engine that runs it.
    fn engine(&self) -> Option<&Docker> {
        None
    }

    /// Why it would not notice that a rename replaced this file; `None` = it would notice.
    ///
    /// # Errors
    /// The manager does not tell.
    fn misses_rename_of(&self, _file: &Path) -> Result<Option<Failure>, Failure> {
        Ok(None)
    }

    /// How its processes are found, where the configuration says so.
    fn find(&self) -> Option<&Find> {
        None
    }

    /// The file with its process id, where the configuration names one.
    fn pid_file(&self) -> Option<&Path> {
        match self.find()? {
            Find::PidFile { path, .. } => Some(path),
            Find::Executable { .. } => None,
        }
    }

    /// The user whose own service manager of systemd has it.
    fn systemd_user(&self) -> Option<&str> {
        self.unit()?.user.as_deref()
    }

    /// The check whether it is ready, where it reports that itself and no address is configured.
    fn readiness(&self) -> Option<Check> {
        None
    }

    /// The manager's own command, looked up in PATH.
    fn manager_command(&self) -> Option<&Path> {
        None
    }

    /// The command of the configuration that is run for it, and its key: `restart` or `adapter`.
    fn declared_command(&self) -> Option<(&'static str, &CommandLine)> {
        self.restart_command().map(|line| ("restart", line))
    }

    /// Files that decide what runs with the rights of this user: no other user may be able to change them.
    fn trusted_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Files and folders in which the value may stand beside the declared copies.
    fn search_roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Its identities at its manager. A workload with an equal identity is the same service.
    fn identities(&self) -> Vec<ServiceIdentity> {
        Vec::new()
    }

    /// Its name for a message, if a survey of this machine must find its identity and does not; `None` = a survey need
    /// not.
    fn survey_name(&self) -> Option<String> {
        None
    }

    /// Whether only a common copy shows that two workloads are the same service, because the operator declared it with
    /// custom commands.
    fn is_known_by_copies(&self) -> bool {
        false
    }

    /// An agent's objections to the rotation of its key, before any change. Empty = none.
    fn objections(&self) -> Vec<Failure> {
        Vec::new()
    }

    /// An agent's helpers, which pass their environment on and call no issuer. They are not instances.
    fn helpers(&self, _listing: &Listing) -> Vec<ProcessId> {
        Vec::new()
    }

    /// Files with an agent's leftover copies, from which it takes no key.
    fn left_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether applying a value may overwrite a row of a database.
    fn has_rows(&self) -> bool {
        false
    }

    /// The rows from which an agent takes keys.
    fn rows(&self) -> AgentRows {
        AgentRows::default()
    }

    /// Checks that the row in which a delivery of this file ends holds one of the versions, where there is such a row.
    ///
    /// # Errors
    /// `K0440`: it holds something else, which would be overwritten.
    fn refuse_other_row(&self, _file: &Path, _versions: &[SecretBytes]) -> Result<(), Failure> {
        Ok(())
    }

    /// The state folder of an agent that can be asked for a turn.
    fn agent_state(&self) -> Option<&Path> {
        None
    }

    /// The same workload, where its processes are known from a file of the state folder. `others`: the names of the secret's
    /// other consumers.
    fn in_state_folder(&self, _state: &Path, _others: &[String]) -> Option<SharedWorkload> {
        None
    }

    /// The address of a proxy that can be asked for its models.
    fn proxy_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Whether a found consumer is this agent, although it has another manager or another address now.
    fn is_same_agent(&self, _found: &SurveyedConsumer<'_>) -> bool {
        false
    }
}

/// What a comparison of a restart with what runs now can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is restarted: its program, files and manager's configuration are compared.
    Restarted,
    /// Its other files are not visible; the reason.
    NotVisible(&'static str),
    /// Nothing is restarted now.
    NotRestarted,
}

/// Applies the value that the copies hold now. `instance` names one of several instances. `started` is
/// called with each process that was started, so that it can be recorded: after a crash it is found by that record and
/// ended or awaited ([`crate::end_leftover`]).
///
/// Success means that the manager's command succeeded, not that the value was loaded: only observation shows that.
///
/// # Errors
/// The class tells the effect. [`keyroll_port::Class::Permanent`] and [`keyroll_port::Class::Retryable`]: nothing was
/// done. [`keyroll_port::Class::Unknown`]: it may have been done (ended with an error, timed out and was killed). The
/// codes are those of the managers: `K0402` to `K0440`; `K0364` where an agent takes its key from another source.
pub fn apply(
    workload: &dyn Workload,
    instance: Option<&str>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    workload.apply(&mut Attempt { instance, deadline, started, may_replace: &|_| false, is_old: &|_| false })
}

/// The processes that run now, forked workers included. Empty = none runs.
///
/// # Errors
/// As [`Workload::instances_in`].
pub fn instances(workload: &dyn Workload) -> Result<Vec<InstanceProcess>, Failure> {
    let listing = if workload.needs_listing() { list()? } else { Listing::default() };
    workload.instances_in(&listing)
}
