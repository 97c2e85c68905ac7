//! What was accepted by an adoption: a restart script that a person names is accepted as it is then. A later edit of it
//! is another content, and is asked about.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use keyroll_port::Live;
use keyroll_rotation::Difference;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::problem::Problem;

/// All that was accepted on this machine. It holds names and keyed digests alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Granted {
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
    pub(crate) fn load(places: &Places) -> Result<Self, Problem> {
        let path = places.state.join("adopted.json");
        let attempted = || Problem::new("K0833", format!("read {}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| attempted().because_of(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(attempted().because_of(&error)),
        }
    }

    pub(crate) fn has(&self, secret: &str, live: &Live) -> bool {
        let same = |grant: &&Grant| {
            grant.secret == secret
                && *grant.name == *live.difference.name
                && grant.digest == live.difference.digest
        };
        self.granted.iter().any(|grant| same(&grant))
    }

    /// Adds some, in place of what was accepted by the same names before, and writes all.
    pub(crate) fn add(mut self, places: &Places, secret: &str, all: &[Difference]) -> Result<(), Problem> {
        self.granted.retain(|grant| {
            grant.secret != secret || !all.iter().any(|difference| *difference.name == *grant.name)
        });
        self.granted.extend(all.iter().map(|difference| Grant {
            secret: secret.to_owned(),
            name: difference.name.to_string(),
            digest: difference.digest,
        }));
        let path = places.state.join("adopted.json");
        let beside = places.state.join("adopted.json.new");
        let attempted = || Problem::new("K0833", format!("write {}", path.display()));
        let text = serde_json::to_string_pretty(&self).map_err(|error| attempted().because_of(&error))?;
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let written =
            open.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&beside, &path)).map_err(|error| attempted().because_of(&error))
    }
}
