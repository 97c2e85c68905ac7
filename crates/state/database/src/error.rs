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
        /// The file or folder.
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
    /// A newer version of keyroll made the database.
    #[error("it has schema {found}; this version of keyroll reads up to {known}")]
    Newer {
        /// Its schema.
        found: i64,
        /// The newest that this version reads.
        known: i64,
    },
    /// SQLite's own check found content that SQLite did not write.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// SQLite refused an operation.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Whether SQLite itself reports that the file is damaged.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The system failed a read, write or fsync: the content of the disk is unknown.
pub fn is_io(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}

/// A full disk or a lock. Either stops a COMMIT before its frame is complete, so nothing was written. After any other
/// failed COMMIT the outcome is unknown.
pub fn is_passing(error: &rusqlite::Error) -> bool {
    let passing = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}
