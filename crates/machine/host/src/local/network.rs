//! Consumers that reach the issuer from another network than this machine's own.

use std::collections::BTreeSet;

use keyroll_observe::in_own_network;

use super::Local;
use super::enumerate::Running;

impl Local {
    /// The consumers with a process in a network of its own, as a container on a bridge has one.
    pub(super) fn in_other_networks(&self, running: &[Running]) -> BTreeSet<String> {
        // One that is not visible says nothing: what is not visible of it is told elsewhere.
        let apart = running.iter().filter(|one| in_own_network(&one.process) == Ok(false));
        apart.filter_map(|one| self.setup.consumer(one.consumer)).map(|one| one.name.clone()).collect()
    }
}
