//! What was seen of the pods last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyroll_controller::{Id, Pods};
use tokio::sync::Notify;

/// By workload, `deployment/agent`.
pub(super) type Looked = Result<BTreeMap<String, Pods>, String>;

/// What was seen of pods last.
pub(super) struct Seen {
    changed: BTreeMap<String, Arc<Notify>>,
    last: Mutex<BTreeMap<Id, Looked>>,
}

impl Seen {
    /// Nothing yet, of these hosts.
    pub(super) fn of<'h>(hosts: impl Iterator<Item = &'h String>) -> Self {
        Self { changed: hosts.map(|host| (host.clone(), Arc::default())).collect(), last: Mutex::default() }
    }

    /// Told when something changes among the pods of this host.
    pub(super) fn changed(&self, host: &str) -> Arc<Notify> {
        self.changed.get(host).cloned().unwrap_or_default()
    }

    /// The last look at the pods of this object's consumers.
    pub(super) fn last(&self, id: &Id) -> Option<Looked> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Another look.
    pub(super) fn put(&self, id: &Id, looked: Looked) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), looked);
    }
}
