//! The objects that are followed, and what is remembered of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keyroll_controller::{Known, Lease, Pod};
use keyroll_kube::Cluster;
use tokio::sync::watch;

use super::contents::Contents;
use super::jobs::Jobs;
use super::seen::Seen;
use super::writing::Writing;
use crate::drives::Operate;

/// The objects that are followed, and what is known of them in this life of the server.
pub(crate) struct Followed {
    /// The file that people write.
    pub(super) base: PathBuf,
    /// The file that is written from it and the objects.
    pub(super) file: PathBuf,
    /// From what.
    pub(super) writing: Mutex<Writing>,
    /// The followed namespaces, by the name of their host.
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) known: Arc<Known>,
    pub(super) lease: Arc<Lease>,
    /// Why another keyroll is in charge, once that is so.
    pub(super) lost: watch::Receiver<Option<String>>,
    /// Where keyroll runs, for its commands in a status.
    pub(super) pod: Option<Pod>,
    pub(super) pods: Seen,
    /// What the Secrets of the objects hold.
    pub(super) contents: Contents,
    pub(super) jobs: Jobs,
    /// By secret: what was begun last for its object.
    pub(super) begun: Mutex<BTreeMap<String, Begun>>,
}

impl Followed {
    /// Waits until another keyroll is in charge, and says why.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the Lease is not renewed any more".to_owned(),
        }
    }

    /// The next one need not wait.
    pub(crate) async fn release(&self) {
        self.lease.release().await;
    }
}

/// A step that was begun for an object, and how often.
pub(super) struct Begun {
    pub(super) operate: Operate,
    /// The annotation that asked for it, as `abort=TEXT`; empty: a plan that the status has.
    pub(super) ask: String,
    pub(super) at: Instant,
    pub(super) times: u32,
}
