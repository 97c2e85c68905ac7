//! The number of the driver that changes hosts. It rises with each driver, and a host refuses a lower one. Beside it each driver
//! draws one at random: by that a host tells a driver of this state folder from one of a copy, which may have the same number.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state_file;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::new_id;

/// How many drivers of a secret are remembered. A host that none of them has changed since refuses this state folder.
const DRIVERS_MAX: usize = 1_000;

/// The last number that was given, and what each driver drew. The number rises over all secrets.
#[derive(Debug, Default, Serialize, Deserialize)]
struct HostEpoch {
    epoch: u64,
    /// The drivers of each secret by its name, the earliest one first: a host knows the last one of each secret. The drivers of
    /// older versions drew nothing.
    #[serde(default)]
    drivers: BTreeMap<String, Vec<(u64, String)>>,
}

/// The number of a driver, what it drew, and the drivers of its secret before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Its own.
    pub(crate) now: u64,
    /// What it drew, 32 hex digits.
    pub(crate) driver: String,
    /// The number of each driver before, and what it drew. A host that another one has changed refuses this state folder: it
    /// is a copy, or an old one.
    pub(crate) before: Arc<[(u64, String)]>,
}

impl Default for Epoch {
    /// That of a command which changes no host.
    fn default() -> Self {
        Self { now: 0, driver: "0".repeat(32), before: Arc::default() }
    }
}

impl Epoch {
    /// The drivers before, as a host is sent them: only one that is changed compares them with its own record.
    pub(crate) fn sent(&self, changes: bool) -> Vec<(u64, String)> {
        if changes { self.before.to_vec() } else { Vec::new() }
    }
}

/// The next number, for a driver of this secret; stored before it is used. Only the holder of the state's lock may take one.
///
/// # Errors
/// The state folder cannot be read or written.
pub(crate) fn next(places: &Places, secret: &str) -> Result<Epoch, Problem> {
    let path = places.state.join("host-epoch.json");
    let mut known: HostEpoch = state_file::load(&path)?;
    known.epoch = known.epoch.saturating_add(1);
    let (now, driver) = (known.epoch, new_id());
    let drivers = known.drivers.entry(secret.to_owned()).or_default();
    let before = Arc::from(drivers.as_slice());
    drivers.push((now, driver.clone()));
    drivers.drain(..drivers.len().saturating_sub(DRIVERS_MAX));
    state_file::replace(&path, &known)?;
    Ok(Epoch { now, driver, before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::Installation;
    use crate::places::Locations;

    /// A state folder without drivers.
    fn places(folder: &tempfile::TempDir) -> Places {
        let state = Some(folder.path().join("state"));
        let places = Installation::new(Locations { state, ..Locations::default() }).places().unwrap();
        places.ensure().unwrap();
        places
    }

    #[test]
    fn each_driver_has_a_higher_number_and_knows_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(&folder);
        let first = next(&places, "acme").unwrap();
        assert_eq!((first.now, first.before.len()), (1, 0));
        let second = next(&places, "acme").unwrap();
        assert_eq!((second.now, second.sent(true)), (2, vec![(1, first.driver.clone())]));
        assert_ne!(second.driver, first.driver);
        assert_eq!([true, false].map(|changes| second.sent(changes).len()), [1, 0]);
        // The file of an older version.
        std::fs::write(places.state.join("host-epoch.json"), "{\"epoch\":7}").unwrap();
        let third = next(&places, "acme").unwrap();
        assert_eq!((third.now, third.before.len()), (8, 0));
    }

    #[test]
    fn a_secrets_drivers_are_known_however_many_another_secret_had() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(&folder);
        let rare = next(&places, "rare").unwrap();
        let path = places.state.join("host-epoch.json");
        let mut known: HostEpoch = state_file::load(&path).unwrap();
        known.epoch = 20_001;
        known.drivers.insert("often".to_owned(), (2..=20_001).map(|epoch| (epoch, new_id())).collect());
        state_file::replace(&path, &known).unwrap();
        let often = next(&places, "often").unwrap();
        let kept = next(&places, "often").unwrap().before;
        assert_eq!((kept.len(), kept.last()), (DRIVERS_MAX, Some(&(often.now, often.driver))));
        // The number rises over both.
        let again = next(&places, "rare").unwrap();
        assert_eq!((again.now, again.before.to_vec()), (20_004, vec![(rare.now, rare.driver)]));
    }
}
