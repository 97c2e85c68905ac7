use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use keyroll_rotation::{ConsumerId, Holds};
use keyroll_secret::Fields;

use crate::{Failure, Holder, Looked, PendingChange, Sessions, Values};

/// The input of a survey. A host is surveyed before a rotation is planned.
#[derive(Clone, Copy)]
pub struct Surveying<'a> {
    /// The version that is to be replaced.
    pub values: Values<'a>,
    /// The version that the rotation would make, as far as it is known: its names must be free.
    pub next: Option<&'a Fields>,
    /// The live sessions at the issuer, read right before the survey.
    pub sessions: &'a Sessions,
    /// What every copy must hold.
    pub begins_on: Holds,
    /// The rotation restarts consumers: the survey reports the pending changes.
    pub restarts: bool,
    /// The survey runs each command check once, and once more on a wrong copy.
    pub rehearses: bool,
}

/// What a survey found.
#[derive(Debug)]
pub struct Survey {
    /// Instances, holders, undeclared copies.
    pub looked: Looked,
    /// The undeclared processes.
    pub holders: Vec<Holder>,
    /// The pending changes that restarts would activate.
    pub live: PendingChanges,
    /// The consumers that reach the issuer from a network of their own, such as a container on a bridge.
    pub other_networks: BTreeSet<String>,
    /// Sentences on files with several names.
    pub linked: Vec<String>,
    /// Why checks prove less than they should.
    pub checks: Vec<Failure>,
    /// The executable of each process of a consumer; empty where it is not visible.
    pub programs: Vec<(ConsumerId, PathBuf)>,
}

/// The pending changes that restarts would activate, and what cannot be compared.
#[derive(Debug, Default)]
pub struct PendingChanges {
    /// Each pending change once, by its name.
    pub live: Vec<PendingChange>,
    /// What cannot be compared, and why, as `what: why`.
    pub not_visible: Vec<String>,
}

/// What a configured file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySeen {
    /// The file.
    pub path: PathBuf,
    /// Which value.
    pub holds: Holds,
    /// Why it is not clear what its readers find there, if they do not all find the same.
    pub unclear: Option<String>,
}

/// What a host can be asked before a rotation is open. No call changes anything.
#[async_trait]
pub trait Surveyor: Send + Sync {
    /// Everything that a plan depends on.
    ///
    /// # Errors
    /// A copy does not hold what it must (`K0302`), a file could not be replaced safely (`K0316`), or the host cannot
    /// tell.
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure>;

    /// What every configured file holds now.
    async fn copies(&self, values: Values<'_>) -> Vec<CopySeen>;

    /// The pending changes that restarts of all consumers would activate now.
    async fn live(&self) -> PendingChanges;
}
