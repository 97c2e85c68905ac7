//! Waived copies. A waiver from before a rotation opened is recorded in that rotation when it opens, and counts for the
//! version that was current then; the next rotation asks about the copy again.

use std::fs;

use keyroll_codes::Code;
use keyroll_rotation::Waived;
use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::places::Places;
use crate::problem::Problem;

/// All waivers of this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waivers {
    waivers: Vec<Waiver>,
}

/// A copy that may keep the old value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    pub(crate) secret: String,
    /// The path, for the operator.
    pub(crate) place: String,
    /// The digest of the path.
    pub(crate) digest: u64,
    /// The version that the next rotation may leave there; 0 if the waiver was recorded in an open rotation, or by a
    /// version of keyroll that did not store this.
    #[serde(default)]
    pub(crate) version: u32,
    pub(crate) reason: String,
}

impl Waivers {
    /// Reads the file; an absent one has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(places: &Places) -> Result<Self, Problem> {
        let path = places.state.join("waivers.json");
        let attempted = || Problem::new(Code::StateUnusable, format!("read {}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| attempted().because_of(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(attempted().because_of(&error)),
        }
    }

    pub(crate) fn has_copy(&self, secret: &str, version: u32, digest: u64) -> bool {
        self.about(secret, version).any(|waiver| waiver.digest == digest)
    }

    /// The path of a waived digest.
    pub fn place(&self, digest: u64) -> Option<&str> {
        self.waivers.iter().find(|waiver| waiver.digest == digest).map(|waiver| waiver.place.as_str())
    }

    /// The waivers of one version of a secret, as the protocol knows them.
    pub fn of(&self, secret: &str, version: u32) -> Vec<Waived> {
        // 0 is no version: a waiver that an open rotation has recorded does not apply to the next.
        let about = self.about(secret, version).filter(|_| version > 0);
        about.map(|waiver| Waived::Copy(waiver.digest)).collect()
    }

    fn about(&self, secret: &str, version: u32) -> impl Iterator<Item = &Waiver> {
        self.waivers.iter().filter(move |waiver| waiver.secret == secret && waiver.version == version)
    }

    /// Adds a waiver and writes all of them.
    pub(crate) fn add(mut self, places: &Places, waiver: Waiver) -> Result<(), Problem> {
        self.waivers.push(waiver);
        let path = places.state.join("waivers.json");
        let attempted = || Problem::new(Code::StateUnusable, format!("write {}", path.display()));
        let text = serde_json::to_string_pretty(&self).map_err(|error| attempted().because_of(&error))?;
        atomic_file::replace_private(&path, text.as_bytes()).map_err(|error| attempted().because_of(&error))
    }
}
