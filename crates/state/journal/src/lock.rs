use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use keyroll_port::RotationId;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// The lock's file inside the state folder.
const LOCK_FILE: &str = "lock";

/// How often the lock file is looked up again because another process replaced it.
const REPLACED_MAX: usize = 8;

/// How long a process that only asks holds the lock, at most.
const INSTANT_MS_MAX: Duration = Duration::from_millis(200);

/// How often taking the lock is tried again in that time.
const INSTANT_RETRY_MS: Duration = Duration::from_millis(5);

/// The length that an earlier keyroll reads: the first line, with the process id alone, has exactly this length.
const PID_BYTES: u64 = 16;

/// How much of the file is read; a rotation's id and a secret's name have at most 64 bytes each.
const FILE_BYTES_MAX: u64 = 256;

/// Why the state folder was not locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another driver holds the lock.
    #[error("another keyroll process{} has the rotations of {folder}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The state folder.
        folder: PathBuf,
        /// Its process id, as it wrote it into the file.
        pid: Option<u32>,
        /// The rotation that it drives, if it wrote that into the file.
        work: Option<Work>,
    },
    /// The system refused an operation.
    #[error("could not {action} {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The rotation that the holder of a lock drives. Unverified: it is for messages, and for a process that asks the
/// holder to release the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The rotation that it drives.
    pub rotation: RotationId,
    /// Its secret.
    pub secret: String,
    /// When it began, milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
}

/// The right to drive the rotations of one state folder on this machine. Clones share it. The kernel releases it when
/// the last clone is dropped or the process ends, however it ends. Children do not inherit it.
#[derive(Debug, Clone)]
pub struct StateLock {
    folder: PathBuf,
    file: Arc<File>,
}

impl StateLock {
    /// The folder that it locks.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes into the lock file which rotation is driven, for another process that finds the lock held. Nothing
    /// depends on it: if the write fails, the other process learns only the process id.
    pub fn works_on(&self, work: &Work) {
        let Work { rotation, secret, since_unix_ms } = work;
        let line = format!("{rotation} {since_unix_ms} {secret}\n");
        let _ =
            self.file.set_len(PID_BYTES).and_then(|()| self.file.write_all_at(line.as_bytes(), PID_BYTES));
    }
}

/// Takes the lock if it is free, within 200 ms. Readers need no lock.
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
            .custom_flags(flags())
            .open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) => return Err(held_read_only(folder, &path).unwrap_or_else(|| io("open")(error))),
        };
        match take(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let (pid, work) = signed(&file);
                return Err(LockError::Held { folder: folder.to_owned(), pid, work });
            }
            Err(error) => return Err(io("lock")(error.into())),
        }
        // A lock on a file that is no longer at its path locks nothing.
        let locked = file.metadata().map_err(io("inspect"))?;
        match std::fs::symlink_metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                sign(&file).map_err(io("write"))?;
                return Ok(StateLock { folder: folder.to_owned(), file: Arc::new(file) });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("inspect")(error)),
        }
    }
    Err(LockError::Held { folder: folder.to_owned(), pid: None, work: None })
}

/// The lock's file is opened as itself, and without waiting for anybody.
fn flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// A folder that cannot be written any more: a driver that began before may hold its lock still.
fn held_read_only(folder: &Path, path: &Path) -> Option<LockError> {
    let file = OpenOptions::new().read(true).custom_flags(flags()).open(path).ok()?;
    let held = matches!(take(&file), Err(Errno::WOULDBLOCK));
    let (pid, work) = signed(&file);
    held.then(|| LockError::Held { folder: folder.to_owned(), pid, work })
}

/// Waits for a process that holds the lock only for a moment, to ask whether a driver runs.
fn take(file: &File) -> Result<(), Errno> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if since.elapsed() < INSTANT_MS_MAX => thread::sleep(INSTANT_RETRY_MS),
            result => return result,
        }
    }
}

fn sign(file: &File) -> io::Result<()> {
    // The rest of the file is removed first, so that nobody reads another process's work next to this process id.
    file.set_len(PID_BYTES)?;
    let width = usize::try_from(PID_BYTES - 1).unwrap_or_default();
    file.write_all_at(format!("{:<width$}\n", std::process::id()).as_bytes(), 0)
}

fn signed(file: &File) -> (Option<u32>, Option<Work>) {
    let mut text = String::new();
    if file.take(FILE_BYTES_MAX).read_to_string(&mut text).is_err() {
        return (None, None);
    }
    let (first, rest) = text.split_once('\n').unwrap_or_default();
    (first.trim().parse().ok(), work_of(rest))
}

/// Reads the second line; an incomplete line counts as none.
fn work_of(text: &str) -> Option<Work> {
    let mut words = text.strip_suffix('\n')?.splitn(3, ' ');
    let (rotation, since, secret) = (words.next()?, words.next()?, words.next()?);
    Some(Work {
        rotation: RotationId(rotation.to_owned()),
        secret: secret.to_owned(),
        since_unix_ms: since.parse().ok()?,
    })
}
