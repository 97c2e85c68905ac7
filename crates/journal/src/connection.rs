use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::OpenError;
use crate::error::is_damage;

/// How long a statement waits for another process's lock, milliseconds.
const BUSY_TIMEOUT_MS_MAX: u64 = 5_000;

/// Opens the database with the settings that durability rests on, and makes it (mode 0600) if it is missing.
///
/// `synchronous=FULL` is set by name: WAL's usual NORMAL may lose commits when the power fails. Checkpoints are
/// left to the writer, because SQLite's automatic ones swallow a failed fsync.
pub(crate) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let fail = |source| OpenError::Io { action: "create", path: path.to_owned(), source };
    // SQLite gives its log and index the mode of the database, so this one decides for all.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(fail)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let wrap = |source| wrap(path, source);
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    configure(&connection).map_err(wrap)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS_MAX))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        // Without WAL, readers would stop the writer; it is refused where shared memory is missing.
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA secure_delete = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA wal_autocheckpoint = 0;",
    )
}

/// Damage by SQLite's word, or whatever else it says.
pub(crate) fn wrap(path: &Path, source: rusqlite::Error) -> OpenError {
    if is_damage(&source) {
        OpenError::Damaged { path: path.to_owned(), what: source.to_string() }
    } else {
        OpenError::Sqlite { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn durability_rests_on_these_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = connect(&path).unwrap();
        connection.execute_batch("CREATE TABLE rows (row INTEGER)").unwrap();
        for (setting, expected) in
            [("synchronous", 2), ("secure_delete", 1), ("foreign_keys", 1), ("wal_autocheckpoint", 0)]
        {
            let sql = format!("PRAGMA {setting}");
            assert_eq!(connection.query_row(&sql, [], |row| row.get::<_, i64>(0)), Ok(expected), "{setting}");
        }
        let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
        assert_eq!(mode.as_deref(), Ok("wal"));
        for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
