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

    /// Drops what was seen of objects that are not there any more.
    pub(super) fn keep(&self, is_there: impl Fn(&Id) -> bool) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| is_there(id));
    }

    /// Another look.
    pub(super) fn put(&self, id: &Id, looked: Looked) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), looked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red where it stays: in a namespace in which objects are made and deleted, the server would grow for ever.
    #[test]
    fn what_was_seen_of_the_pods_of_an_object_is_dropped_with_it() {
        let host = "shop".to_owned();
        let id = |name: &str| Id { host: host.clone(), name: name.to_owned() };
        let (seen, gone, stays) = (Seen::of(std::iter::once(&host)), id("gone"), id("stays"));
        for id in [&gone, &stays] {
            seen.put(id, Ok(BTreeMap::new()));
        }
        seen.keep(|id| *id == stays);
        assert_eq!((seen.last(&gone), seen.last(&stays)), (None, Some(Ok(BTreeMap::new()))));
    }
}
