//! Its database, read and never written: which profiles there are, of which no key is taken out.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Deserialize;

use super::home::OpenClawHome;

/// The database, in the state folder.
pub(super) const STATE: &str = "state/openclaw.sqlite";

/// How long a writer is waited for, milliseconds.
const BUSY_MS_MAX: u64 = 2_000;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Profiles {
    profiles: BTreeMap<String, Profile>,
}

/// Without its key.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Profile {
    provider: String,
}

impl OpenClawHome {
    /// The ids of a provider's profiles, in their order.
    ///
    /// # Errors
    /// Why they are not visible.
    pub(super) fn profiles_of(&self, provider: &str) -> Result<Vec<String>, &'static str> {
        let path = self.state.join(STATE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database =
            Connection::open_with_flags(&path, flags).map_err(|_| "its database cannot be opened")?;
        let unread = |_| "its database cannot be read";
        database.busy_timeout(Duration::from_millis(BUSY_MS_MAX)).map_err(unread)?;
        let row = database.query_row(
            "SELECT value_json FROM config_machine_state WHERE state_key = 'authProfiles.store'",
            [],
            |row| {
                row.get_ref(0).map(|cell| cell.as_str().ok().and_then(|text| serde_json::from_str(text).ok()))
            },
        );
        let Some(found): Option<Option<Profiles>> = row.optional().map_err(unread)? else {
            return Ok(Vec::new());
        };
        let found = found.ok_or("its profiles have another form than this release's")?;
        Ok(found.profiles.into_iter().filter(|(_, it)| it.provider == provider).map(|(id, _)| id).collect())
    }
}
