use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;

use keyroll_observe::{Process, ProcessId, Sockets};

use crate::{DraftValue, ServiceDeclaration};

/// A command as a check, which the operator writes.
pub const CHECK_COMMAND: &str = "exec = [\"./probe.sh\", \"{copy}\"]";

/// An agent that a survey found and that has keys of its own under `runs`, besides those of its service's manager.
pub trait SurveyedAgent: Debug + Send + Sync {
    /// The key under `runs` that names it.
    fn key(&self) -> &'static str;

    /// The folder of its own state, whose files are no sources of values.
    fn state(&self) -> Option<&Path> {
        None
    }

    /// Its keys under `runs`; `None` = it is declared by its manager's.
    fn draft(&self, service: &AgentService<'_>) -> Option<AgentDraft>;

    /// The lines of its check, whatever manages it; empty = it has none of its own.
    fn check(&self, _service: &AgentService<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// The service of an agent, with its sources of one secret.
pub struct AgentService<'a> {
    /// As its manager declares it; `None` = not managed.
    pub declaration: Option<&'a ServiceDeclaration>,
    /// The sources of the secret.
    pub sources: Vec<AgentSource<'a>>,
    /// Its processes.
    pub processes: Vec<&'a Process>,
    /// The sockets of this machine, if they are visible.
    pub sockets: Option<&'a Sockets>,
    /// A path as keyroll.toml has it; `None` = it cannot be written there.
    pub written: &'a dyn Fn(&Path) -> Option<String>,
}

/// The source from which an agent takes a value at its next start.
pub struct AgentSource<'a> {
    /// The name of the value.
    pub name: &'a str,
    /// What applies a change of the winning source.
    pub applied_by: Option<&'a str>,
    /// Whether the next value is known.
    pub known: bool,
}

/// A consumer that is declared by the keys of an agent.
pub struct AgentDraft {
    /// The table `runs`.
    pub runs: Vec<(&'static str, DraftValue)>,
    /// Notes on the table.
    pub notes: Vec<&'static str>,
    /// The lines of its check; empty = it has none of its own.
    pub check: Vec<String>,
}

/// A consumer that a survey found, to compare with a declared workload.
pub struct SurveyedConsumer<'a> {
    /// Its processes.
    pub processes: &'a [ProcessId],
    /// The addresses that they listen on.
    pub listens: &'a [SocketAddr],
    /// The agent that it is.
    pub agent: Option<&'a dyn SurveyedAgent>,
    /// Whether it and the workload read a common copy.
    pub reads_same: bool,
}
