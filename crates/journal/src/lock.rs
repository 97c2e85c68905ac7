use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The lock's file inside the state folder.
const LOCK_FILE: &str = "lock";

/// How often a lock file that somebody replaced meanwhile is looked up again.
const REPLACED_MAX: usize = 8;

/// The longest that a lock is held by a process that only asks.
const INSTANT_MS_MAX: Duration = Duration::from_millis(200);

/// How often it is tried again meanwhile.
const INSTANT_RETRY_MS: Duration = Duration::from_millis(5);

/// A process id has at most ten digits; more is not read.
const PID_BYTES_MAX: u64 = 16;

/// Why the state folder was not locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another driver has it.
    #[error("another keyroll process{} drives the rotations of {folder}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The state folder.
        folder: PathBuf,
        /// Its process id, as it wrote it down; for display only.
        pid: Option<u32>,
    },
    /// The system refused an operation.
    #[error("could not {action} {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The right to drive the rotations of one state folder on this machine. Clones share it; the kernel takes it back
/// when the last one is dropped or the process ends, however it ends. Children do not inherit it.
#[derive(Debug, Clone)]
pub struct StateLock {
    folder: PathBuf,
    _file: Arc<File>,
}

impl StateLock {
    /// The folder that it locks.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Takes the lock if it is free, within 200 ms. Readers need none.
///
/// Errors: held by another process (or by this one already: share the first lock), or refused by the system.
pub fn try_lock(folder: &Path) -> Result<StateLock, LockError> {
    let path = folder.join(LOCK_FILE);
    let io = |action| {
        let path = path.clone();
        move |source| LockError::Io { action, path, source }
    };
    keyroll_database::make(folder).map_err(|error| io("make the folder of")(io::Error::other(error)))?;
    for _ in 0..REPLACED_MAX {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
            .map_err(io("open"))?;
        match take(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(LockError::Held { folder: folder.to_owned(), pid: pid(&file) });
            }
            Err(error) => return Err(io("lock")(error.into())),
        }
        // A lock on a file that is not at its path any more locks nothing.
        let locked = file.metadata().map_err(io("inspect"))?;
        match std::fs::symlink_metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                sign(&file).map_err(io("write"))?;
                return Ok(StateLock { folder: folder.to_owned(), _file: Arc::new(file) });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("inspect")(error)),
        }
    }
    Err(LockError::Held { folder: folder.to_owned(), pid: None })
}

/// A process that only asks whether somebody drives holds the lock for an instant: that is waited out.
fn take(file: &File) -> Result<(), Errno> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if since.elapsed() < INSTANT_MS_MAX => thread::sleep(INSTANT_RETRY_MS),
            result => return result,
        }
    }
}

fn sign(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
