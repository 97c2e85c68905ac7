use std::time::Instant;

use keyroll_observe::{Listing, ProcessId};
use keyroll_port::Failure;

use crate::{Applied, InstanceProcess, OpenClaw};

/// A program that calls models, told by means of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// OpenClaw.
    OpenClaw(OpenClaw),
}

impl Agent {
    /// What stands against a rotation of its key, before anything is made. Empty = nothing.
    pub fn objections(&self) -> Vec<Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.objections(),
        }
    }

    /// Its own processes which hand their environment on to others and call nobody. They are no instances: nothing of them
    /// can be proven.
    pub fn helpers(&self, listing: &Listing) -> Vec<ProcessId> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.helpers(listing),
        }
    }

    /// Files in which it leaves copies that it takes no key from.
    pub fn left(&self) -> Vec<std::path::PathBuf> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.home().left(),
        }
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.apply(deadline, started),
        }
    }

    pub(crate) fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        match self {
            Self::OpenClaw(openclaw) => openclaw.instances_in(listing),
        }
    }

    /// Whether a new process takes the value. Without an answer the stricter of the two is true.
    pub(crate) fn starts_anew(&self) -> bool {
        match self {
            Self::OpenClaw(openclaw) => openclaw.starts_anew(),
        }
    }
}
