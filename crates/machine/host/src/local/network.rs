//! Consumers that reach the issuer over another network than this machine's own.

use std::collections::BTreeSet;

use keyroll_observe::in_own_network;

use super::Local;
use super::running::Running;

impl Local {
    /// The consumers with a process in a network namespace of its own, such as a container on a bridge.
    pub(super) fn in_other_networks(&self, running: &[Running]) -> BTreeSet<String> {
        // A process that is not visible is reported elsewhere and does not count here.
        let apart = running.iter().filter(|one| in_own_network(&one.process) == Ok(false));
        apart.filter_map(|one| self.setup.consumer(one.consumer)).map(|one| one.name.clone()).collect()
    }
}
