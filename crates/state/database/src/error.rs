use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a database was not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The system refused an operation on a file or folder.
    #[error("could not {action} {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is on a file system on which locks and fsync cannot be trusted.
    #[error("{path} is on {kind}, where locks and fsync cannot be trusted")]
    Network {
        /// The folder.
        path: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// A newer version made it.
    #[error("it has schema {found}; this version of keyroll reads up to {known}")]
    Newer {
        /// Its schema.
        found: i64,
        /// The newest that this version reads.
        known: i64,
    },
    /// SQLite's own check found what it did not write.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// SQLite refused an operation.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// SQLite's own word that the file is not what it wrote.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The system failed a read, write or fsync: what is on the disk is no longer known.
pub fn is_io(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}

/// A full disk or a lock: it stops even a COMMIT before its frame is whole, so that nothing was written. After any
/// other failed COMMIT nobody can tell.
pub fn is_passing(error: &rusqlite::Error) -> bool {
    let passing = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}
