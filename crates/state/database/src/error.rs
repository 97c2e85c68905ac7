use std::error::Error;
use std::io;
use std::path::PathBuf;

use rusqlite::{ErrorCode, ffi};

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

/// Whether a database was not opened because nothing can be written on its disk. It can be read from a copy then.
pub fn is_unwritable(error: &DatabaseError) -> bool {
    let DatabaseError::Sqlite(error) = error else { return false };
    let full = matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::ReadOnly));
    full || error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

/// What SQLite reported, in words for a person.
pub fn said(error: &rusqlite::Error) -> String {
    let code = error.sqlite_extended_error_code().unwrap_or_default();
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        return format!("no space is left on its disk (SQLite error {code})");
    }
    // The file that the processes of a database share gets its size before anything is read, and SQLite has no word of its own
    // for a disk without space there.
    if code == ffi::SQLITE_IOERR_SHMSIZE {
        return format!("no space is left on its disk, or it cannot be written (SQLite error {code})");
    }
    error.to_string()
}

/// The same as the cause of another error.
pub fn cause_of(error: rusqlite::Error) -> Box<dyn Error + Send + Sync> {
    let words = said(&error);
    if words == error.to_string() { error.into() } else { words.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_space_is_called_that() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            let error = || rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert!(said(&error()).starts_with("no space is left on its disk"), "{}", said(&error()));
            assert_eq!(cause_of(error()).to_string(), said(&error()));
            assert!(is_unwritable(&error().into()));
        }
        let other = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None);
        assert!(!is_unwritable(&other().into()));
        assert_eq!(said(&other()), other().to_string());
        assert!(cause_of(other()).is::<rusqlite::Error>());
    }
}
