//! Copies that were waived by name. One that was waived before a rotation was opened is told to it when it opens, and
//! is about the version that was in use then: at the next one its place is asked about again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use keyroll_rotation::Waived;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::problem::Problem;

/// All waivers of this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waivers {
    waivers: Vec<Waiver>,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiver {
    secret: String,
    /// The path, for people.
    place: String,
    /// Its digest.
    digest: u64,
    /// The version of the secret that the next rotation may leave there; 0 where an open rotation was told, and in a
    /// file of before this was written down.
    #[serde(default)]
    version: u32,
    reason: String,
}

impl Waivers {
    pub(crate) fn load(places: &Places) -> Result<Self, Problem> {
        let path = places.state.join("waivers.json");
        let attempted = || Problem::new("K0833", format!("read {}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| attempted().because_of(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(attempted().because_of(&error)),
        }
    }

    pub(crate) fn has_copy(&self, secret: &str, version: u32, digest: u64) -> bool {
        self.about(secret, version).any(|waiver| waiver.digest == digest)
    }

    /// The path behind a digest, where it was waived.
    pub(crate) fn place(&self, digest: u64) -> Option<&str> {
        self.waivers.iter().find(|waiver| waiver.digest == digest).map(|waiver| waiver.place.as_str())
    }

    /// The waivers of one version of a secret, as the protocol knows them.
    pub(crate) fn of(&self, secret: &str, version: u32) -> Vec<Waived> {
        // 0 is no version: what an open rotation was told is not told to the next.
        let about = self.about(secret, version).filter(|_| version > 0);
        about.map(|waiver| Waived::Copy(waiver.digest)).collect()
    }

    fn about(&self, secret: &str, version: u32) -> impl Iterator<Item = &Waiver> {
        self.waivers.iter().filter(move |waiver| waiver.secret == secret && waiver.version == version)
    }

    /// Adds one and writes all.
    pub(crate) fn add(
        mut self,
        places: &Places,
        secret: (&str, u32),
        (place, digest): (&str, u64),
        reason: &str,
    ) -> Result<(), Problem> {
        let ((secret, version), place) = ((secret.0.to_owned(), secret.1), place.to_owned());
        self.waivers.push(Waiver { secret, place, digest, version, reason: reason.to_owned() });
        let path = places.state.join("waivers.json");
        let beside = places.state.join("waivers.json.new");
        let attempted = || Problem::new("K0833", format!("write {}", path.display()));
        let text = serde_json::to_string_pretty(&self).map_err(|error| attempted().because_of(&error))?;
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let written =
            open.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&beside, &path)).map_err(|error| attempted().because_of(&error))
    }
}
