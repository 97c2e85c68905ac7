//! The database file: where it may be, its settings, its schema.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_port::{Class, Failure};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::fail::{Attempt, NETWORK, NEWER, UNUSABLE};

/// The database inside the state folder.
const DATABASE_FILE: &str = "secrets.db";

/// How long a statement waits for another process's lock, milliseconds.
const BUSY_TIMEOUT_MS_MAX: u64 = 5_000;

/// File systems on which a lock may be granted twice, or an fsync mean nothing: `f_type` of statfs(2), from
/// Linux's <linux/magic.h> and statfs(2).
const UNTRUSTED: [u64; 14] = [
    0x6969,
    0xff53_4d42,
    0x517b,
    0xfe53_4d42,
    0x0102_1997,
    0x6573_5546,
    0x5346_414f,
    0x6b41_4653,
    0x7375_7245,
    0x00c3_6400,
    0x0bd0_0bd0,
    0x0116_1970,
    0x7461_636f,
    0x786f_4256,
];

/// Each brings the schema from its place in the list to the next; none is ever changed once released.
const MIGRATIONS: [&str; 1] = [FIRST];

const FIRST: &str = "
-- One row: the key's id, and the key's word for the roots of all secrets at this generation.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    kid BLOB NOT NULL CHECK (length(kid) = 8),
    generation INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT;

-- The key's word for all rows of one secret.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    secret TEXT NOT NULL REFERENCES secrets (name) DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL CHECK (number > 0),
    label TEXT NOT NULL CHECK (label IN ('pending', 'current', 'previous', 'retired')),
    credential TEXT,
    fingerprints TEXT NOT NULL,
    sealed BLOB,
    rotation TEXT,
    intent INTEGER,
    unix_ms INTEGER NOT NULL,
    PRIMARY KEY (secret, number),
    CHECK ((sealed IS NULL) = (label = 'retired')),
    CHECK ((rotation IS NULL) = (intent IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_version_per_intent ON versions (secret, rotation, intent) WHERE rotation IS NOT NULL;

CREATE TABLE kept (
    secret TEXT NOT NULL REFERENCES secrets (name) DEFERRABLE INITIALLY DEFERRED,
    rotation TEXT NOT NULL,
    intent INTEGER NOT NULL,
    credential TEXT,
    fingerprints TEXT NOT NULL,
    sealed BLOB,
    PRIMARY KEY (secret, rotation, intent)
) STRICT;
";

/// Opens the database in this folder, or makes both (modes 0700 and 0600), and checks it as a whole.
pub(crate) fn open(folder: &Path) -> Result<Connection, Failure> {
    let path = folder.join(DATABASE_FILE);
    let said = format!("open the sealed store {}", path.display());
    let attempt = Attempt(&said);
    let io = |error: std::io::Error| {
        Failure::new(Class::Permanent, UNUSABLE, &said)
            .help("check the folder's owner, mode and free space with `keyroll doctor`")
            .because(error)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let stat = rustix::fs::statfs(folder).map_err(|error| io(error.into()))?;
    if untrusted(stat.f_type) {
        let why = "the folder is on a network file system, where locks and fsync cannot be trusted";
        return Err(attempt.refuse(NETWORK, why).help("name a folder on a local disk with `--state DIR`"));
    }
    // SQLite gives its log and index the mode of the database, so this one decides for all.
    OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(io)?;
    let mut connection = connect(path).map_err(|error| attempt.sqlite(error))?;
    migrate(&mut connection, attempt)?;
    let word: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| attempt.sqlite(error))?;
    if word == "ok" { Ok(connection) } else { Err(attempt.altered(word)) }
}

/// `f_type` differs in type between machines; magic numbers have 32 bits everywhere.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn untrusted(f_type: rustix::fs::FsWord) -> bool {
    UNTRUSTED.contains(&u64::from(f_type as u32))
}

fn connect(path: PathBuf) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS_MAX))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    // Checkpoints are our own: SQLite's automatic ones swallow a failed fsync.
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
    )?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, attempt: Attempt<'_>) -> Result<(), Failure> {
    let fail = |error| attempt.sqlite(error);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(connection).map_err(fail)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    // Read again: another process may have migrated while this one waited for the lock.
    let found = version(&transaction).map_err(fail)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        let why = format!("it has schema {found}; this version of keyroll reads up to {known}");
        return Err(attempt.refuse(NEWER, why).help("run the newer version of keyroll that made it"));
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(fail)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(|error| attempt.commit(error))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
