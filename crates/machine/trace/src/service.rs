use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_manager::{ServiceDeclaration, ServiceIdentity, SurveyedAgent};
use keyroll_observe::ProcessId;

use crate::{Chain, ManagedBy};

/// A service that a manager keeps running, with its present processes.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Its manager.
    pub managed_by: ManagedBy,
    /// Its name at the manager.
    pub name: String,
    /// As `runs` declares it; `None` = a survey cannot address it.
    pub declaration: Option<ServiceDeclaration>,
    /// The agent that it is, if agents of its kind have keys of their own under `runs`.
    pub agent: Option<Arc<dyn SurveyedAgent>>,
    /// If each of its restarts uses the environment that it was made with: when that was, and what makes it again.
    pub made: Option<Made>,
    /// Its processes, masters and workers alike; none where it does not run.
    pub processes: Vec<ProcessId>,
    /// The folder of its project, which has its manifest.
    pub project: Option<PathBuf>,
    /// The sources of each secret of its program; one chain for each name.
    pub chains: Vec<Chain>,
}

/// When and how a manager makes a service of which it keeps the environment.
#[derive(Debug, Clone)]
pub struct Made {
    /// No earlier than this it was made, milliseconds since 1970.
    pub unix_ms: u64,
    /// What happened then: `its container was made`.
    pub event: &'static str,
    /// The folder in which it was probably made.
    pub folder: Option<PathBuf>,
    /// The command that makes the service of this name again with the variables of this file.
    pub again: fn(&str, &Path) -> String,
    /// The command that starts it with what its manager keeps.
    pub restart: String,
}

impl Service {
    /// Its identity at the manager; `None` if a survey cannot tell.
    pub fn identity(&self) -> Option<ServiceIdentity> {
        self.declaration.as_ref()?.identity.clone()
    }

    /// The chain of one name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|one| one.name == name)
    }
}
