//! The small file outside the state folder that remembers the newest entry of the journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::OpenError;
use crate::chain::{self, Link};
use crate::error::LockHolder;
use crate::read::Head;

/// A witness is one short line; a longer file is no witness.
const WITNESS_BYTES_MAX: u64 = 4 * 1024;

const VERSION: u32 = 1;

/// How long to wait while another process writes the witness: two fsyncs on a slow disk.
const LOCK_MS_MAX: Duration = Duration::from_millis(5_000);

/// How often the lock is tried in that time.
const LOCK_RETRY_MS: Duration = Duration::from_millis(5);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    v: u32,
    epoch: u64,
    entry: u64,
    chain: String,
}

/// The path of a witness.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    path: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
}

impl Witness {
    /// A witness at this path; its folder is made if it is missing. A path inside the state folder is refused: a backup
    /// of the journal would contain the witness too.
    pub(crate) fn at(path: &Path, state: &Path) -> Result<Self, OpenError> {
        let not_a_file = || OpenError::WitnessDamaged {
            witness: path.to_owned(),
            what: "the path does not name a file".to_owned(),
        };
        let name = path.file_name().ok_or_else(not_a_file)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        keyroll_database::make(parent).map_err(|error| OpenError::of(parent, error))?;
        let real = |path: &Path| {
            fs::canonicalize(path).map_err(|source| OpenError::Io {
                action: "resolve",
                path: path.to_owned(),
                source,
            })
        };
        let folder = real(parent)?;
        let state = real(state)?;
        if folder.starts_with(&state) {
            return Err(OpenError::WitnessInside { witness: path.to_owned(), folder: state });
        }
        let temporary = folder.join(format!(".{}.tmp", name.to_string_lossy()));
        Ok(Self { path: folder.join(name), folder, temporary })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; `None` if the file is missing.
    pub(crate) fn read(&self) -> Result<Option<Head>, OpenError> {
        let io = |source| OpenError::Io { action: "read", path: self.path.clone(), source };
        let damaged =
            |what: &str| OpenError::WitnessDamaged { witness: self.path.clone(), what: what.to_owned() };
        // Without O_NONBLOCK, a FIFO in its place would block this call for ever.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() || metadata.len() > WITNESS_BYTES_MAX {
            return Err(damaged("it is not a short regular file"));
        }
        let mut text = Vec::new();
        file.take(WITNESS_BYTES_MAX).read_to_end(&mut text).map_err(io)?;
        let Form { v, epoch, entry, chain } =
            serde_json::from_slice(&text).map_err(|_| damaged("it is not of its form"))?;
        if v != VERSION {
            return Err(damaged("a newer version of keyroll wrote it"));
        }
        let chain = chain::from_hex(&chain).ok_or_else(|| damaged("it is not of its form"))?;
        Ok(Some(Head { entry, chain, epoch }))
    }

    /// Advances the witness to `head`; does nothing if it is already as far. Durable when it returns.
    pub(crate) fn forward(&self, head: &Head) -> Result<(), OpenError> {
        let is_as_far = |seen: Option<Head>| {
            seen.is_some_and(|seen| seen.entry > head.entry || seen.epoch > head.epoch || seen == *head)
        };
        // Every write replaces the file as a whole: reading it needs no lock.
        if is_as_far(self.read()?) {
            return self.settle();
        }
        let _held = self.hold()?;
        if is_as_far(self.read()?) { self.settle() } else { self.write(head) }
    }

    /// Sets it to `head`, whatever it said before.
    pub(crate) fn reset(&self, head: &Head) -> Result<(), OpenError> {
        let _held = self.hold()?;
        self.write(head)
    }

    /// Locks the folder, so that two processes never write the witness at the same time and no lock file is left over.
    fn hold(&self) -> Result<File, OpenError> {
        let io = |action, source| OpenError::Io { action, path: self.folder.clone(), source };
        let folder = File::open(&self.folder).map_err(|source| io("open", source))?;
        let since = Instant::now();
        loop {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(folder),
                Err(Errno::WOULDBLOCK) if since.elapsed() < LOCK_MS_MAX => thread::sleep(LOCK_RETRY_MS),
                Err(Errno::WOULDBLOCK) => {
                    let holder = folder.metadata().ok().and_then(|it| lock_holder(it.ino()));
                    return Err(OpenError::WitnessHeld {
                        witness: self.path.clone(),
                        holder: LockHolder(holder),
                    });
                }
                Err(source) => return Err(io("lock", source.into())),
            }
        }
    }

    /// Temporary file, fsync, rename, fsync of the folder: a crash leaves the old witness or the new one, complete.
    fn write(&self, head: &Head) -> Result<(), OpenError> {
        let io = |action| {
            let path = self.path.clone();
            move |source| OpenError::Io { action, path, source }
        };
        let form =
            Form { v: VERSION, epoch: head.epoch, entry: head.entry, chain: chain::to_hex(&head.chain) };
        let mut line = serde_json::to_vec(&form).map_err(|error| io("write")(error.into()))?;
        line.push(b'\n');
        match fs::remove_file(&self.temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("remove the temporary file of")(error)),
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.temporary)
            .and_then(|mut file| file.write_all(&line).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&self.temporary, &self.path));
        if let Err(error) = written {
            // Only the next write would remove a leftover temporary file; a full disk needs its space now.
            drop(fs::remove_file(&self.temporary));
            return Err(io("write")(error));
        }
        self.settle()
    }

    /// Makes the name of the newest witness durable. The process that wrote it may have ended before that, or failed.
    fn settle(&self) -> Result<(), OpenError> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| OpenError::Io {
            action: "fsync the folder of",
            path: self.path.clone(),
            source,
        })
    }
}

/// The process that holds the lock of the file with this inode number. `/proc/locks` has one line for each lock:
/// `1: FLOCK  ADVISORY  WRITE 708 08:01:2490431 0 EOF` (proc_locks(5)). It names a device by other numbers than `stat`
/// on some file systems, so the device is not compared: the answer is shown, and nothing is decided by it.
fn lock_holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, "WRITE", pid, file, ..] = words.as_slice() else { return None };
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        is_it.then(|| pid.parse().ok()).flatten()
    })
}

/// Whether `head` and `link` agree with what the witness saw.
pub(crate) fn disagreement(seen: &Head, head: &Head, link: Option<Link>) -> Option<String> {
    match link {
        None => Some(format!("entry {} is missing, the last one is {}", seen.entry, head.entry)),
        Some(link) if link != seen.chain => Some(format!("entry {} is another one", seen.entry)),
        Some(_) if head.epoch < seen.epoch => {
            Some(format!("its epoch fell from {} to {}", seen.epoch, head.epoch))
        }
        Some(_) => None,
    }
}
