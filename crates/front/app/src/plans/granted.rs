//! What was accepted by an adoption: a restart script that a person names is accepted as it is then. A later edit of it
//! is another content, and is asked about.

use keyroll_port::Live;
use keyroll_rotation::Difference;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::state_file;

/// All that was accepted on this machine. It holds names and keyed digests alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    granted: Vec<Grant>,
}

/// One of them.
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
    pub fn has(&self, secret: &str, live: &Live) -> bool {
        let same = |grant: &&Grant| {
            grant.secret == secret
                && *grant.name == *live.difference.name
                && grant.digest == live.difference.digest
        };
        self.granted.iter().any(|grant| same(&grant))
    }

    /// Adds some, in place of what was accepted by the same names before, and writes all.
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
