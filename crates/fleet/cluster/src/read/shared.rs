//! What the pods of one template have in common, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Pod, Taking};

/// The kind and the name of what made a pod.
type Maker = (String, String);

/// What the last pod of each maker takes.
#[derive(Default)]
pub(super) struct Shared(Mutex<BTreeMap<Maker, Arc<[Taking]>>>);

impl Shared {
    /// The pod; what it takes is that of the last pod of its maker, if that is equal.
    pub(super) fn share(&self, mut pod: Pod) -> Pod {
        let Some(maker) = &pod.made_by else { return pod };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(maker) {
            Some(takes) if *takes == pod.takes => pod.takes = Arc::clone(takes),
            _ => drop(known.insert(maker.clone(), Arc::clone(&pod.takes))),
        }
        pod
    }
}
