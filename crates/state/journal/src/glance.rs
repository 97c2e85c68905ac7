//! The rotations of a journal, read from a copy of its bytes: without a lock, without a check, and without writing.

use std::path::Path;
use std::time::Instant;

use keyroll_database::{Foreign, rusqlite};

use crate::copied;
use crate::sqlite::DATABASE_FILE;

/// The largest journal that is read, and the largest log beside it, bytes.
const BYTES_MAX: u64 = 32 << 20;

/// What a glance shows of a rotation. Nothing vouches for it: it is for suggestions alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// It had not ended.
    pub open: bool,
}

/// The newest rotations of the journal in a folder, the newest first; none if it cannot be read until the deadline, or is
/// large. Only for a process that has not opened the journal: closing its file releases every lock of the process on it.
pub fn glance(dir: &Path, most: usize, deadline: Instant) -> Vec<Glimpse> {
    let Some((database, log)) = copied::files(&dir.join(DATABASE_FILE), BYTES_MAX) else { return Vec::new() };
    Foreign::of_copy(database, &log, deadline).and_then(|copy| newest(&copy, most)).unwrap_or_default()
}

fn newest(copy: &Foreign, most: usize) -> rusqlite::Result<Vec<Glimpse>> {
    let columns = ["number", "id", "secret", "open"];
    // The row of the acts is no rotation.
    let mut rows = copy.select("rotations", &columns, "WHERE id <> 'acts' ORDER BY number DESC")?;
    let glimpse = |row: &rusqlite::Row<'_>| {
        Ok(Glimpse { id: row.get("id")?, secret: row.get("secret")?, open: row.get("open")? })
    };
    rows.query_map([], glimpse)?.take(most).collect()
}
