//! The number of the driver that changes hosts. It rises with each driver, and a host refuses a lower one.

use serde::{Deserialize, Serialize};

use super::state_file;
use crate::places::Places;
use crate::problem::Problem;

/// The last number that was given.
#[derive(Debug, Default, Serialize, Deserialize)]
struct HostEpoch {
    epoch: u64,
}

/// The number of a driver, and that of the driver before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Its own.
    pub(crate) now: u64,
    /// That of the driver before. A host that has seen a higher one refuses this state folder: it is a copy, or an old one.
    pub(crate) since: u64,
}

/// The next number, stored before it is used; only the holder of the state's lock may take one.
///
/// # Errors
/// The state folder cannot be read or written.
pub(crate) fn next(places: &Places) -> Result<Epoch, Problem> {
    let path = places.state.join("host-epoch.json");
    let HostEpoch { epoch: since } = state_file::load(&path)?;
    let now = since.saturating_add(1);
    state_file::replace(&path, &HostEpoch { epoch: now })?;
    Ok(Epoch { now, since })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::Installation;
    use crate::places::Locations;

    #[test]
    fn each_driver_has_a_higher_number_and_knows_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let state = Some(folder.path().join("state"));
        let places = Installation::new(Locations { state, ..Locations::default() }).places().unwrap();
        places.ensure().unwrap();
        let first = next(&places).unwrap();
        assert_eq!(first, Epoch { now: 1, since: 0 });
        assert_eq!(next(&places).unwrap(), Epoch { now: 2, since: 1 });
    }
}
