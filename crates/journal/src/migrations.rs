use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::OpenError;
use crate::connection::wrap;

/// Each brings the schema from its place in the list to the next; none is ever changed once released.
const MIGRATIONS: [&str; 1] = [FIRST];

const FIRST: &str = "
CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    journal BLOB NOT NULL CHECK (length(journal) = 32)
) STRICT;
INSERT INTO counter VALUES (1, 0, randomblob(32));

CREATE TABLE rotations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    unix_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_rotation_per_secret ON rotations (secret) WHERE open = 1;

-- An opening is its rotation's entry of seq 0, so that the chain covers the plan too.
CREATE TABLE entries (
    entry INTEGER PRIMARY KEY,
    rotation INTEGER NOT NULL REFERENCES rotations (number),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    bytes BLOB NOT NULL,
    unix_ms INTEGER NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    UNIQUE (rotation, seq)
) STRICT;

CREATE TABLE names (
    digest INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'entries are only ever added'); END;
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'entries are only ever added'); END;
CREATE TRIGGER rotations_stay BEFORE DELETE ON rotations
    BEGIN SELECT raise(ABORT, 'rotations are only ever added'); END;
CREATE TRIGGER rotations_keep BEFORE UPDATE OF number, id, secret, unix_ms ON rotations
    BEGIN SELECT raise(ABORT, 'a rotation keeps its secret'); END;
CREATE TRIGGER rotations_end BEFORE UPDATE OF open ON rotations WHEN NEW.open > OLD.open
    BEGIN SELECT raise(ABORT, 'a rotation is opened once'); END;
CREATE TRIGGER rotations_rise BEFORE UPDATE OF epoch ON rotations WHEN NEW.epoch < OLD.epoch
    BEGIN SELECT raise(ABORT, 'an epoch never goes down'); END;
CREATE TRIGGER counter_rises BEFORE UPDATE ON counter
    WHEN NEW.epoch < OLD.epoch OR NEW.journal <> OLD.journal
    BEGIN SELECT raise(ABORT, 'the counter never goes down'); END;
CREATE TRIGGER counter_stays BEFORE DELETE ON counter
    BEGIN SELECT raise(ABORT, 'the counter stays'); END;
";

/// Brings the schema to this version's, in one transaction; a crash leaves the old one or the new one.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let wrap = |source| wrap(path, source);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(connection).map_err(wrap)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    // Read again: another process may have migrated while this one waited for the lock.
    let found = version(&transaction).map_err(wrap)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(wrap)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(wrap)?;
    transaction.commit().map_err(wrap)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
