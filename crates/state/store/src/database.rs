//! The database file and its schema.

use std::path::Path;

use keyroll_database::rusqlite::Connection;
use keyroll_port::Failure;

use crate::fail::Attempt;

/// The database inside the state folder.
const DATABASE_FILE: &str = "secrets.db";

/// Each migration leads from its place in the list to the next; none is changed once released.
const MIGRATIONS: [&str; 2] = [FIRST, SECOND];

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

const SECOND: &str = "
-- Values of retired versions, sealed to be looked for and for nothing else, where the owner wants it.
CREATE TABLE needles (
    secret TEXT NOT NULL REFERENCES secrets (name) DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL CHECK (number > 0),
    sealed BLOB NOT NULL,
    PRIMARY KEY (secret, number)
) STRICT;
";

/// Opens the database in this folder, or makes both (modes 0700 and 0600), and checks all of it.
pub(crate) fn open(folder: &Path) -> Result<Connection, Failure> {
    let path = folder.join(DATABASE_FILE);
    let said = format!("open the sealed store {}", path.display());
    let opened = keyroll_database::make(folder)
        .and_then(|()| keyroll_database::local(folder))
        .and_then(|()| keyroll_database::open(&path))
        .and_then(|mut connection| {
            keyroll_database::migrate(&mut connection, &MIGRATIONS)?;
            keyroll_database::check(&connection)?;
            keyroll_database::settle(&connection)?;
            Ok(connection)
        });
    opened.map_err(|error| Attempt(&said).database(error))
}

/// The names of the secrets with sealed values in an existing store, in their order. Nothing vouches for them: they are
/// only for a message to an operator who has lost the sealing key.
///
/// # Errors As for opening the store, except those about the key. Blocking.
pub fn names_unvouched(folder: &Path) -> Result<Vec<String>, Failure> {
    let connection = open(folder)?;
    let all = "SELECT secret FROM versions WHERE sealed IS NOT NULL
               UNION SELECT secret FROM kept WHERE sealed IS NOT NULL ORDER BY 1";
    let names = connection.prepare(all).and_then(|mut all| all.query_map([], |row| row.get(0))?.collect());
    names.map_err(|error| Attempt("read the names in the sealed store").sqlite(error))
}
