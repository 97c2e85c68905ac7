use std::path::PathBuf;
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
    /// Its processes, masters and workers alike; none where it does not run.
    pub processes: Vec<ProcessId>,
    /// The folder of its project, which has its manifest.
    pub project: Option<PathBuf>,
    /// The sources of each secret of its program; one chain for each name.
    pub chains: Vec<Chain>,
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
