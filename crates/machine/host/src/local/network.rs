//! Consumers that reach the issuer from another network than this machine's own.

use std::collections::BTreeSet;

use keyroll_observe::in_own_network;
use keyroll_port::Failure;

use super::{Local, process_of};

impl Local {
    /// The consumers with a process in a network of its own, as a container on a bridge has one.
    ///
    /// # Errors
    /// It cannot be told which processes run.
    pub fn in_other_networks(&self) -> Result<BTreeSet<String>, Failure> {
        let mut found = BTreeSet::new();
        for (id, _, who) in self.instances_now()? {
            // One that is not visible says nothing: what is not visible of it is told elsewhere.
            let apart = process_of(who).is_some_and(|process| in_own_network(&process) == Ok(false));
            if let Some(consumer) = self.setup.consumer(id).filter(|_| apart) {
                found.insert(consumer.name.clone());
            }
        }
        Ok(found)
    }
}
