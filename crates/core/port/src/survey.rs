use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use keyroll_rotation::{ConsumerId, Holds};
use keyroll_secret::Fields;

use crate::{Failure, Holder, Live, Looked, SessionSource, Values};

/// What a plan has to know of a host before it is made.
#[derive(Clone, Copy)]
pub struct Surveying<'a> {
    /// The version that is to be replaced.
    pub values: Values<'a>,
    /// The one that would be made, as far as that is known: its names must be free.
    pub next: Option<&'a Fields>,
    /// Asked for the live sessions at the issuer right before the host is searched.
    pub sessions: &'a dyn SessionSource,
    /// What every copy must hold.
    pub begins_on: Holds,
    /// Consumers are restarted: what that would make live is looked at.
    pub restarts: bool,
    /// Each command check is run once, and once on a wrong copy.
    pub rehearses: bool,
}

/// What a survey found.
#[derive(Debug)]
pub struct Survey {
    /// Instances, holders, undeclared copies.
    pub looked: Looked,
    /// The undeclared processes.
    pub holders: Vec<Holder>,
    /// What restarts would make live beside the value.
    pub live: LiveReport,
    /// The consumers that reach the issuer from a network of their own, such as a container on a bridge.
    pub other_networks: BTreeSet<String>,
    /// Sentences on files with several names.
    pub linked: Vec<String>,
    /// Why checks prove less than they should.
    pub checks: Vec<Failure>,
    /// The executable of each process of a consumer; empty where it is not visible.
    pub programs: Vec<(ConsumerId, PathBuf)>,
}

/// What restarts would make live beside the value, and what of that cannot be told.
#[derive(Debug, Default)]
pub struct LiveReport {
    /// Each difference once, by its name.
    pub live: Vec<Live>,
    /// A place and why it cannot be compared, as `what: why`.
    pub not_visible: Vec<String>,
}

/// What is asked of a host before a rotation is open. Nothing is changed.
#[async_trait]
pub trait Surveyor: Send + Sync {
    /// Everything that a plan depends on.
    ///
    /// # Errors
    /// A copy does not hold what it must (`K0302`), a file could not be replaced safely (`K0316`), or the host cannot
    /// tell.
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure>;

    /// What every configured file holds now, by its path.
    async fn copies(&self, values: Values<'_>) -> Vec<(PathBuf, Holds)>;

    /// What restarts of all consumers would make live beside the value, as things are now.
    async fn live(&self) -> LiveReport;
}
