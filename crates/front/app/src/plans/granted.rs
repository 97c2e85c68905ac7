//! Pending changes that an adoption accepted: a restart script that the operator names is accepted with its content at
//! that time. After a later edit, keyroll asks again.

use keyroll_port::PendingChange;
use keyroll_rotation::Difference;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::state_file;

/// Everything that adoptions accepted on this machine. It holds only names and keyed digests.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    granted: Vec<Grant>,
}

/// One accepted pending change.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    secret: String,
    /// As a plan names it: `mailer/restart:restart.sh`.
    name: String,
    digest: u64,
}

impl Granted {
    /// Reads the file; an absent one grants nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(places: &Places) -> Result<Self, Problem> {
        state_file::load(&places.state.join("adopted.json"))
    }

    /// True if this pending change of the secret was accepted.
    pub fn has(&self, secret: &str, live: &PendingChange) -> bool {
        let same = |grant: &&Grant| {
            grant.secret == secret
                && *grant.name == *live.difference.name
                && grant.digest == live.difference.digest
        };
        self.granted.iter().any(|grant| same(&grant))
    }

    /// Adds these, in place of earlier ones with the same names, and writes the file.
    pub fn add(mut self, places: &Places, secret: &str, all: &[Difference]) -> Result<(), Problem> {
        self.granted.retain(|grant| {
            grant.secret != secret || !all.iter().any(|difference| *difference.name == *grant.name)
        });
        self.granted.extend(all.iter().map(|difference| Grant {
            secret: secret.to_owned(),
            name: difference.name.to_string(),
            digest: difference.digest,
        }));
        state_file::replace(&places.state.join("adopted.json"), &self)
    }
}
