//! A lock of one file, for the time that it is open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

/// Locks a file that is made for this, until the returned one is closed.
///
/// # Errors
/// It cannot be made, or somebody has locked it and `how` does not wait.
#[expect(clippy::disallowed_methods, reason = "an empty file, which is never replaced")]
pub fn lock(path: &Path, how: FlockOperation) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    flock(&file, how)?;
    Ok(file)
}
