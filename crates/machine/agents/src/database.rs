//! Databases of other programs, read as untrusted input.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_database::Foreign;
use keyroll_observe::{NotVisible, read_regular};
use zeroize::Zeroizing;

/// The largest database that is copied into memory, and the largest log of one, bytes.
const COPY_BYTES_MAX: usize = 64 << 20;

/// The most time for reading one database, seconds.
const SECONDS_MAX: u64 = 20;

/// How often a database is read again because it changed during the read.
const READS_MAX: usize = 3;

const UNREAD: &str = "its database cannot be opened";

/// An opened database.
pub(crate) struct Opened {
    pub(crate) database: Foreign,
    /// Whether its log was included.
    pub(crate) whole: bool,
}

/// Opens a SQLite database; `None` if the file does not exist.
pub(crate) fn open(path: &Path) -> Result<Option<Opened>, &'static str> {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = PathBuf::from(name);
    let mut before = match copied(path) {
        Ok(bytes) => bytes,
        Err(NotVisible::Vanished) if path.symlink_metadata().is_err() => return Ok(None),
        // In another process's folders, SQLite would follow links to files of this machine.
        Err(NotVisible::TooLarge) if path.starts_with("/proc") => {
            return Err("its database is too large to be read out of there");
        }
        Err(NotVisible::TooLarge) => {
            let database = Foreign::of_file(path, deadline).map_err(|_| UNREAD)?;
            let whole = !log.symlink_metadata().is_ok_and(|log| log.len() > 0);
            return Ok(Some(Opened { database, whole }));
        }
        Err(_) => return Err(UNREAD),
    };
    for _ in 0..READS_MAX {
        let beside = match copied(&log) {
            Ok(bytes) => bytes,
            Err(NotVisible::Vanished) if log.symlink_metadata().is_err() => Zeroizing::default(),
            Err(_) => return Err("the log beside its database cannot be read"),
        };
        // A commit that was moved from the log into the database between the two reads would be in neither.
        let again = copied(path).map_err(|_| UNREAD)?;
        if *again == *before {
            drop(before);
            let database = Foreign::of_copy(again, &beside, deadline).map_err(|_| UNREAD)?;
            return Ok(Some(Opened { database, whole: true }));
        }
        before = again;
    }
    Err("its database changes while it is read")
}

/// The bytes of a regular file; a link is not followed.
fn copied(path: &Path) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    read_regular(path, COPY_BYTES_MAX).map(|read| read.bytes)
}
