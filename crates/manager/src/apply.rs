use std::path::PathBuf;
use std::time::Instant;

use keyroll_observe::{Listing, ProcessId};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use crate::find::list;
use crate::{
    Adapter, Agent, AtRest, Compose, Container, ContainerVerb, Cron, InstanceProcess, Master, Pm2, Process,
    Reread, Supervisor, Unit, Verb,
};

/// How a consumer runs: what applies a value to it, and where its processes are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// Plain processes with a restart command or a signal.
    Process(Process),
    /// A process that reads the file again by itself.
    Reread(Reread),
    /// A systemd unit.
    Unit(Unit),
    /// A service of docker compose.
    Compose(Compose),
    /// A container that was started by hand.
    Container(Container),
    /// Nothing runs now: cron, a timer, CI, scaled to zero.
    AtRest(AtRest),
    /// A program of supervisord.
    Supervisor(Supervisor),
    /// An app of pm2.
    Pm2(Pm2),
    /// A service behind an adapter that somebody else wrote.
    Adapter(Adapter),
    /// A master with workers that it forked.
    Master(Master),
    /// Jobs of cron.
    Cron(Cron),
    /// A program that calls models, told by means of its own.
    Agent(Agent),
}

impl Run {
    /// Whether it is told to take a value: nothing of it to be seen afterwards is then no job at rest.
    pub fn is_told(&self) -> bool {
        match self {
            Self::Process(_) | Self::Unit(_) | Self::Supervisor(_) | Self::Compose(_) => true,
            Self::Pm2(_) | Self::Adapter(_) | Self::Master(_) | Self::Agent(_) => true,
            Self::Container(container) => container.verb != ContainerVerb::Rereads,
            Self::Reread(_) | Self::AtRest(_) | Self::Cron(_) => false,
        }
    }

    /// Whether it runs at times only: nothing of it is told, and a run of before ends by itself.
    pub fn is_job(&self) -> bool {
        match self {
            Self::AtRest(_) | Self::Cron(_) => true,
            Self::Process(_) | Self::Reread(_) | Self::Unit(_) | Self::Supervisor(_) => false,
            Self::Compose(_) | Self::Container(_) => false,
            Self::Pm2(_) | Self::Adapter(_) | Self::Master(_) | Self::Agent(_) => false,
        }
    }

    /// Whether a new process takes the value: then its environment is of after the change.
    pub fn starts_anew(&self) -> bool {
        match self {
            Self::Process(process) => matches!(process.verb, Verb::Restart(_)),
            Self::Unit(_) | Self::Supervisor(_) | Self::Pm2(_) | Self::Master(_) | Self::Cron(_) => true,
            Self::Compose(_) => true,
            Self::Container(container) => container.verb != ContainerVerb::Rereads,
            Self::Adapter(adapter) => adapter.starts_anew(),
            Self::Agent(agent) => agent.starts_anew(),
            // Each run of a job is a new process.
            Self::AtRest(_) => true,
            Self::Reread(_) => false,
        }
    }

    /// Whether the verb itself replaces one process after the other and sees each new one answer.
    pub fn rolls(&self) -> bool {
        matches!(self, Self::Agent(Agent::LiteLlm(_)))
    }

    /// Whether its only instance is not there for a while when it is told: the whole of it is ended and started again.
    /// A master goes on while its workers are replaced, and a job ends by itself.
    pub fn goes_away(&self) -> bool {
        match self {
            Self::Master(_) | Self::Cron(_) | Self::AtRest(_) => false,
            Self::Process(_) | Self::Unit(_) | Self::Supervisor(_) | Self::Pm2(_) => self.starts_anew(),
            Self::Compose(_) | Self::Container(_) | Self::Adapter(_) | Self::Reread(_) => self.starts_anew(),
            Self::Agent(agent) => agent.goes_away(),
        }
    }

    /// The manager's own process, whose memory holds what it starts others with, and which never presents it.
    pub fn keeper(&self) -> Option<u32> {
        match self {
            Self::Supervisor(supervisor) => supervisor.keeper(),
            Self::Pm2(pm2) => pm2.keeper(),
            Self::Process(_) | Self::Unit(_) | Self::Reread(_) | Self::AtRest(_) => None,
            Self::Compose(_) | Self::Container(_) => None,
            Self::Agent(agent) => agent.keeper(),
            Self::Adapter(_) | Self::Master(_) | Self::Cron(_) => None,
        }
    }

    /// Files that the manager itself writes when a value is applied, and from which it starts others later.
    pub fn kept(&self) -> Vec<PathBuf> {
        match self {
            Self::Pm2(pm2) => pm2.dumps().unwrap_or_default(),
            Self::Process(_) | Self::Unit(_) | Self::Reread(_) | Self::AtRest(_) => Vec::new(),
            Self::Compose(_) | Self::Container(_) => Vec::new(),
            Self::Supervisor(_) | Self::Adapter(_) | Self::Master(_) | Self::Cron(_) => Vec::new(),
            Self::Agent(_) => Vec::new(),
        }
    }

    /// It, where it is an agent.
    pub fn agent(&self) -> Option<&Agent> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::Process(_) | Self::Unit(_) | Self::Reread(_) | Self::AtRest(_) | Self::Compose(_) => None,
            Self::Container(_) | Self::Supervisor(_) | Self::Pm2(_) | Self::Adapter(_) => None,
            Self::Master(_) | Self::Cron(_) => None,
        }
    }
}

/// What was done.
pub struct Applied {
    /// One clause for the record: `ran ./restart.sh (exit 0)`.
    pub done: String,
    /// What the command wrote, 64 KiB at most, where one ran. It may hold a value: it is redacted before it is shown.
    pub output: Option<SecretBytes>,
}

impl Applied {
    pub(crate) fn without_output(done: impl Into<String>) -> Self {
        Self { done: done.into(), output: None }
    }
}

/// Makes the value that stands in the copies the one that runs. `instance` names one of several instances; without
/// it a single-instance consumer is meant. `started` is told of each process that was started for it, so that it can
/// be recorded: after a crash it is found by that and ended or awaited ([`crate::end_leftover`]).
///
/// A success means that the verb was carried out, never that the value was loaded: that is for observation to see.
///
/// # Errors
/// The class tells the effect. [`keyroll_port::Class::Permanent`] and [`keyroll_port::Class::Retryable`]: nothing was
/// done. [`keyroll_port::Class::Unknown`]: it may have been done (ended with an error, timed out and was killed).
/// Codes: `K0401` name, `K0402` exit status, `K0403` time-out, `K0404` not started, `K0405` no process to signal,
/// `K0406` systemd absent, `K0407` unit, `K0408` pid file, `K0420` to `K0427` containers, `K0430` did not stay up,
/// `K0431` supervisord, `K0432` pm2, `K0433` adapter, `K0434` master,
/// `K0436` a program that supervisord is starting, `K0440` and `K0441` an agent, `K0443` its row,
/// `K0445` and `K0446` LiteLLM.
pub fn apply(
    run: &Run,
    instance: Option<&str>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    apply_over(run, instance, deadline, started, &|_| false)
}

/// The same by whoever knows what an agent may overwrite in a row of its own beside the value itself: it is asked of what
/// stands there right before that.
///
/// # Errors
/// As [`apply`].
pub fn apply_over(
    run: &Run,
    instance: Option<&str>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
    may_replace: &dyn Fn(&SecretBytes) -> bool,
) -> Result<Applied, Failure> {
    match run {
        Run::Process(process) => process.apply(instance, deadline, started),
        Run::Reread(reread) => Ok(reread.apply()),
        Run::Unit(unit) => unit.apply(instance, deadline, started),
        Run::Compose(compose) => compose.apply(deadline, started),
        Run::Container(container) => container.apply(deadline, started),
        Run::AtRest(at_rest) => Ok(at_rest.apply()),
        Run::Supervisor(supervisor) => supervisor.apply(deadline, started),
        Run::Pm2(pm2) => pm2.apply(deadline, started),
        Run::Adapter(adapter) => adapter.apply(deadline, started),
        Run::Master(master) => master.apply(deadline),
        Run::Cron(cron) => Ok(cron.apply()),
        Run::Agent(agent) => agent.apply(deadline, started, may_replace),
    }
}

/// The processes that run now, forked workers included. Empty = none runs.
///
/// # Errors
/// It cannot be told: no answer is ever "none" because something was not visible.
pub fn instances(run: &Run) -> Result<Vec<InstanceProcess>, Failure> {
    match run {
        Run::Process(_) | Run::Reread(_) | Run::Master(_) | Run::Cron(_) | Run::Agent(_) => {
            instances_in(run, &list()?)
        }
        Run::Unit(_) | Run::Compose(_) | Run::Container(_) | Run::AtRest(_) => {
            instances_in(run, &Listing::default())
        }
        Run::Supervisor(_) | Run::Pm2(_) | Run::Adapter(_) => instances_in(run, &Listing::default()),
    }
}

/// The same, in a listing of all processes that was just taken: for many consumers at once. Those of a unit
/// or a container are listed anew all the same, after its manager has told which one is the main process.
///
/// # Errors
/// As [`instances`].
pub fn instances_in(run: &Run, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
    match run {
        Run::Process(process) => process.find.instances_in(listing, &process.instances),
        Run::Reread(reread) => reread.find.instances_in(listing, &reread.instances),
        Run::Unit(unit) => unit.instances(),
        Run::Compose(compose) => compose.instances(),
        Run::Container(container) => container.instances(),
        Run::AtRest(at_rest) => at_rest.instances(),
        Run::Supervisor(supervisor) => supervisor.instances(),
        Run::Pm2(pm2) => pm2.instances(),
        Run::Adapter(adapter) => adapter.instances(),
        Run::Master(master) => master.instances_in(listing),
        Run::Cron(cron) => cron.instances_in(listing),
        Run::Agent(agent) => agent.instances_in(listing),
    }
}
