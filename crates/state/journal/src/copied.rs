//! A journal as a copy of its bytes in memory: without a lock, and without writing.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use keyroll_database::rusqlite::Connection;
use zeroize::Zeroizing;

use crate::migrations::MIGRATIONS;
use crate::verify;

/// The largest journal that is copied whole, and the largest log beside it, bytes.
const BYTES_MAX: u64 = 512 << 20;

/// The journal as a connection to its copy, after a complete check; none if it cannot be read, is larger, has an older schema,
/// or is being written. Only for a process that has not opened the journal: closing its file releases every lock of the process
/// on it.
pub(crate) fn whole(database: &Path) -> Option<Connection> {
    let (bytes, log) = files(database, BYTES_MAX)?;
    let mut copy = keyroll_database::open_copy(bytes, &log).ok()?;
    keyroll_database::migrate(&mut copy, &MIGRATIONS).ok()?;
    verify::whole(&copy, database).ok()?;
    Some(copy)
}

/// The bytes of a database, and of the log beside it; none if one is larger than `most`, or cannot be read.
pub(crate) fn files(database: &Path, most: u64) -> Option<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    // The log first: what is moved out of it meanwhile is in the database then.
    let log = if log.exists() { bytes(&log, most)? } else { Vec::new() };
    Some((Zeroizing::new(bytes(database, most)?), log))
}

/// The bytes of a regular file; none if it is large.
fn bytes(path: &Path, most: u64) -> Option<Vec<u8>> {
    // A pipe would be waited for.
    fs::symlink_metadata(path).ok().filter(|there| there.is_file() && there.len() <= most)?;
    let mut bytes = Vec::new();
    let read = File::open(path).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
    (u64::try_from(read).ok()? <= most).then_some(bytes)
}
