use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, ffi};
use zeroize::Zeroizing;

use crate::{DatabaseError, wal};

/// How long a statement waits for another process's lock, milliseconds.
const BUSY_TIMEOUT_MS_MAX: u64 = 5_000;

/// Only its owner reads a database.
const FILE_MODE: u32 = 0o600;

/// Opens a database with the settings that durability rests on, and makes it (mode 0600) if it is missing; a wider mode
/// is narrowed. A link in its place is refused.
///
/// `synchronous=FULL` is set explicitly: NORMAL, which is usual with WAL, may lose commits in a power failure.
/// Checkpoints are left to the caller, because SQLite's automatic ones ignore a failed fsync.
pub fn open(path: &Path) -> Result<Connection, DatabaseError> {
    prepare(path)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// Opens a copy of a database in memory, with the log that was beside it. Nothing can be written to it.
pub fn open_copy(mut database: Zeroizing<Vec<u8>>, log: &[u8]) -> Result<Connection, DatabaseError> {
    let mut connection = Connection::open_in_memory()?;
    load(&mut connection, &mut database, log)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Loads a database, with the log that was beside it, into a connection in memory. Nothing can be written to it.
pub(crate) fn load(connection: &mut Connection, database: &mut Vec<u8>, log: &[u8]) -> rusqlite::Result<()> {
    wal::apply(database, log);
    connection.deserialize_read_exact(MAIN_DB, database.as_slice(), database.len(), true)
}

/// Makes the file, or narrows its mode, *without opening an existing file*. To close such a descriptor would release
/// every lock that this process holds on the file, SQLite's too (fcntl(2)), and the next process that ends would remove
/// the log that is in use.
#[expect(
    clippy::disallowed_methods,
    reason = "creates the file, so that no descriptor of it can be open yet"
)]
fn prepare(path: &Path) -> Result<(), DatabaseError> {
    let fail = |action| move |source| DatabaseError::Io { action, path: path.to_owned(), source };
    // SQLite gives its log and index the mode of the database: this mode holds for all of them.
    match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(fail("create")(error)),
    }
    let there = fs::symlink_metadata(path).map_err(fail("inspect"))?;
    if !there.is_file() {
        return Err(fail("open")(io::Error::other("it is not a regular file")));
    }
    if there.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(FILE_MODE)).map_err(fail("narrow the mode of"))?;
    }
    Ok(())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS_MAX))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        // Without WAL, readers would block the writer; a file system without shared memory is refused.
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
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0;",
    )
}

/// Does this without waiting for another process's lock: a lock is an error at once, and nothing was written.
pub fn at_once<T>(
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = work();
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS_MAX)).and(done)
}

/// Moves the log into the database, and syncs the database: everything that was read before is durable afterwards.
///
/// A process may have been killed before its sync, or its sync failed. The next process still reads what the log then
/// holds, although the disk may not have it, and after a failed sync no later one of the log writes it. Waits for other
/// processes up to the busy time-out; what they still read then is moved, but stays in the log. Returns whether the log
/// is empty.
pub fn settle(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Moves as much of the log into the database as nobody still reads, without waiting; whether that is all of it.
pub fn move_log(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")
}

/// SQLite says in a row, and not by an error, that somebody was in the way.
fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<bool> {
    connection.query_row(pragma, [], |row| {
        let (busy, log, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && log == moved)
    })
}

/// SQLite's own check of the whole file; takes longer the larger the file is.
pub fn check(connection: &Connection) -> Result<(), DatabaseError> {
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match word.as_str() {
        "ok" => Ok(()),
        unread if is_unread(unread) => {
            let error = ffi::Error::new(ffi::SQLITE_IOERR_READ);
            Err(rusqlite::Error::SqliteFailure(error, Some(word)).into())
        }
        _ => Err(DatabaseError::Damaged(word)),
    }
}

/// SQLite's check reports a page that the system did not read as if it were damage. Its words: `unable to get the page.
/// error code=266`, where the lower byte is the kind of error, or `failed to get page 7`.
fn is_unread(word: &str) -> bool {
    let code = word.split_once("unable to get the page. error code=").map(|(_, code)| code);
    let code = code.and_then(|code| code.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i32>().ok());
    let damage = [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB];
    code.is_some_and(|code| !damage.contains(&(code & 0xff))) || word.contains("failed to get page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_rests_on_these_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = open(&path).unwrap();
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

    /// With what its log has, and nothing beside it is made or changed.
    #[test]
    fn a_copy_shows_what_the_log_has_and_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = open(&path).unwrap();
        connection.execute_batch("CREATE TABLE rows (row INTEGER)").unwrap();
        assert!(settle(&connection).unwrap());
        connection.execute_batch("INSERT INTO rows VALUES (7)").unwrap();
        // Read beside the connection: this process keeps none of its locks after it, and needs none.
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let (database, log) = (read("journal.db"), read("journal.db-wal"));
        let rows = |copy: &Connection| {
            copy.query_row("SELECT sum(row) FROM rows", [], |row| row.get::<_, Option<i64>>(0))
        };
        let copy = open_copy(Zeroizing::new(database.clone()), &log).unwrap();
        assert_eq!(rows(&copy), Ok(Some(7)));
        assert!(check(&copy).is_ok());
        assert!(copy.execute("INSERT INTO rows VALUES (8)", []).is_err());
        let without = open_copy(Zeroizing::new(database), &[]).unwrap();
        assert_eq!(rows(&without), Ok(None));
    }

    #[test]
    fn a_page_that_was_not_read_is_no_damage() {
        for unread in [
            "*** in database main ***\nTree 9 page 9: unable to get the page. error code=266",
            "*** in database main ***\nTree 6 page 11: unable to get the page. error code=10",
            "*** in database main ***\nTree 2 page 2 cell 0: failed to get page 7",
        ] {
            assert!(is_unread(unread), "{unread}");
        }
        for damage in [
            "*** in database main ***\nTree 9 page 9: unable to get the page. error code=11",
            "*** in database main ***\nTree 9 page 9: unable to get the page. error code=779",
            "*** in database main ***\nTree 9 page 9: btreeInitPage() returns error code 11",
            "row 1 missing from index one",
        ] {
            assert!(!is_unread(damage), "{damage}");
        }
    }

    #[test]
    fn a_wider_mode_is_narrowed_and_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let connection = open(&path).unwrap();
        connection.execute_batch("CREATE TABLE rows (row INTEGER)").unwrap();
        for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(open(&link), Err(DatabaseError::Io { action: "open", .. })));
    }
}
