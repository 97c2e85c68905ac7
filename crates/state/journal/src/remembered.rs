//! The rotations that were read last, so that a process that shows them again and again does not decode them each time.
//! Entries are only ever added, so a rotation with the same last number has the same entries.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use keyroll_database::rusqlite::{Connection, OptionalExtension as _};
use keyroll_port::{JournalError, Recorded, RotationId};

use crate::read::{load, unavailable};

/// The most rotations that are remembered.
const ROTATIONS_MAX: usize = 64;

/// The longest one, entries: a driver that adds to a long one reads it once.
const EVENTS_MAX: usize = 2_000;

/// The rotations that were read last.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<BTreeMap<RotationId, Recorded>>);

impl Remembered {
    /// Everything of one rotation, read now or remembered.
    pub(crate) fn load(
        &self,
        connection: &mut Connection,
        id: &RotationId,
    ) -> Result<Recorded, JournalError> {
        let last = last_seq(connection, id)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(id)
            && last == u64::try_from(known.events.len()).ok()
        {
            return Ok(known.clone());
        }
        all.remove(id);
        let recorded = load(connection, id)?;
        if recorded.events.len() <= EVENTS_MAX {
            // The oldest id: those that are shown are the newest.
            if all.len() >= ROTATIONS_MAX {
                all.pop_first();
            }
            all.insert(id.clone(), recorded.clone());
        }
        Ok(recorded)
    }
}

fn last_seq(connection: &Connection, id: &RotationId) -> Result<Option<u64>, JournalError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT seq FROM entries WHERE rotation = (SELECT number FROM rotations WHERE id = ?1)
             ORDER BY seq DESC LIMIT 1",
        )
        .map_err(unavailable)?;
    let last = statement.query_row([&id.0], |row| row.get::<_, i64>(0)).optional().map_err(unavailable)?;
    Ok(last.map(i64::cast_unsigned))
}
