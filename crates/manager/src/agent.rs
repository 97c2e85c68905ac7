use std::path::{Path, PathBuf};
use std::time::Instant;

use keyroll_observe::{Listing, ProcessId};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use crate::{Applied, InstanceProcess, LiteLlm, OpenClaw};

/// A program that calls models, told by means of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// OpenClaw.
    OpenClaw(OpenClaw),
    /// A LiteLLM proxy, worker by worker.
    LiteLlm(LiteLlm),
}

/// The databases of an agent from whose rows it takes keys.
#[derive(Default)]
pub struct AgentRows {
    /// The files, among those of [`Agent::left`].
    pub databases: Vec<PathBuf>,
    /// The rows; `None` = they are not visible.
    pub rows: Option<Vec<AgentRow>>,
}

/// A row from which an agent takes a key.
pub struct AgentRow {
    /// For people: which one, of which database, without a name that may be a key.
    pub name: String,
    /// The same with every name, by which it is told from others. It is shown to nobody.
    pub whole_name: String,
    /// What stands there now.
    pub value: SecretBytes,
    /// It is the one that its consumer takes the key from.
    pub own: bool,
}

impl Agent {
    /// What stands against a rotation of its key, before anything is made. Empty = nothing.
    pub fn objections(&self) -> Vec<Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.objections(),
            Self::LiteLlm(proxy) => proxy.objections(),
        }
    }

    /// Its own processes which hand their environment on to others and call nobody. They are no instances: nothing of them
    /// can be proven.
    pub fn helpers(&self, listing: &Listing) -> Vec<ProcessId> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.helpers(listing),
            Self::LiteLlm(_) => Vec::new(),
        }
    }

    /// Files in which it leaves copies that it takes no key from.
    pub fn left(&self) -> Vec<PathBuf> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.home().left(),
            Self::LiteLlm(_) => Vec::new(),
        }
    }

    /// What it keeps in rows of a database.
    pub fn rows(&self) -> AgentRows {
        match self {
            Self::OpenClaw(openclaw) => openclaw.rows(),
            Self::LiteLlm(_) => AgentRows::default(),
        }
    }

    /// That the row of its own in which a delivery of this file ends holds one of the versions, where there is such a row.
    ///
    /// # Errors
    /// `K0443`: it holds something else, which would be overwritten.
    pub fn refuse_other_row(&self, file: &Path, versions: &[SecretBytes]) -> Result<(), Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.refuse_other_row(file, versions),
            Self::LiteLlm(_) => Ok(()),
        }
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
        may_replace: &dyn Fn(&SecretBytes) -> bool,
    ) -> Result<Applied, Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.apply(deadline, started, may_replace),
            Self::LiteLlm(proxy) => proxy.apply(deadline),
        }
    }

    pub(crate) fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.instances_in(listing),
            Self::LiteLlm(proxy) => proxy.instances(),
        }
    }

    /// Whether a new process takes the value. Without an answer the stricter of the two is true.
    pub(crate) fn starts_anew(&self) -> bool {
        match self {
            Self::OpenClaw(openclaw) => openclaw.starts_anew(),
            Self::LiteLlm(_) => true,
        }
    }

    /// Whether it is not there for a while when it is told.
    pub(crate) fn goes_away(&self) -> bool {
        match self {
            Self::OpenClaw(openclaw) => openclaw.starts_anew(),
            Self::LiteLlm(_) => false,
        }
    }

    /// Its process that starts the others, never calls anybody, and hands no value on.
    pub(crate) fn keeper(&self) -> Option<u32> {
        match self {
            Self::OpenClaw(_) => None,
            Self::LiteLlm(proxy) => proxy.keeper(),
        }
    }
}
