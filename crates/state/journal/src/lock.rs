use std::fs::{File, Metadata, OpenOptions};
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

/// The length of the first line, with the process id alone, and of the second, with its PID namespace. An earlier keyroll
/// has no second one, and reads no work after it.
const LINE_BYTES: u64 = 16;

/// Where the kernel says who holds which lock.
const PROC: &str = "/proc";

/// How often a holder is looked for in the kernel's list, which may lack one if it changes while it is read in parts.
const LOOKS_MAX: usize = 3;

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
        /// Its process id in the PID namespace of this process; none if it cannot be seen from here.
        pid: Option<u32>,
        /// It runs in another PID namespace, such as in another container.
        elsewhere: bool,
        /// The kernel says that the process with this id is the holder.
        listed: bool,
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

impl LockError {
    /// Held by a process that nothing names.
    pub(crate) fn unnamed(folder: &Path) -> Self {
        Self::Held { folder: folder.to_owned(), pid: None, elsewhere: false, listed: false, work: None }
    }
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
        let _ = self
            .file
            .set_len(2 * LINE_BYTES)
            .and_then(|()| self.file.write_all_at(line.as_bytes(), 2 * LINE_BYTES));
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
                return Err(held(folder, &file, Path::new(PROC)));
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
    Err(LockError::unnamed(folder))
}

/// The lock's file is opened as itself, and without waiting for anybody.
fn flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// A folder that cannot be written any more: a driver that began before may hold its lock still.
fn held_read_only(folder: &Path, path: &Path) -> Option<LockError> {
    let file = OpenOptions::new().read(true).custom_flags(flags()).open(path).ok()?;
    matches!(take(&file), Err(Errno::WOULDBLOCK)).then(|| held(folder, &file, Path::new(PROC)))
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
    file.set_len(LINE_BYTES)?;
    let width = usize::try_from(LINE_BYTES - 1).unwrap_or_default();
    let namespace = namespace(Path::new(PROC)).map(|number| number.to_string()).unwrap_or_default();
    file.write_all_at(format!("{:<width$}\n{namespace:<width$}\n", std::process::id()).as_bytes(), 0)
}

/// The number of this process's PID namespace, which a link of the form `pid:[4026531836]` names.
fn namespace(proc: &Path) -> Option<u64> {
    let target = std::fs::read_link(proc.join("self/ns/pid")).ok()?;
    target.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// What the holder wrote into the lock file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signed {
    pid: Option<u32>,
    /// Its PID namespace. An earlier keyroll does not write it.
    namespace: Option<u64>,
    work: Option<Work>,
}

/// The error that names the holder of this file. A process id counts in its PID namespace only: here it may be that of
/// another process, or of this one.
fn held(folder: &Path, file: &File, proc: &Path) -> LockError {
    let Signed { pid: written, namespace: its, work } = signed(file);
    let seen = (0..LOOKS_MAX).find_map(|_| seen_holder(file, proc));
    let elsewhere = match (its, written) {
        (Some(_), _) => its != namespace(proc),
        // An earlier keyroll, perhaps of another namespace. This process would have written its own.
        (None, Some(written)) => seen.map_or(written == std::process::id(), |seen| seen != written),
        (None, None) => false,
    };
    let pid = if elsewhere { seen } else { written };
    LockError::Held { folder: folder.to_owned(), pid, elsewhere, listed: pid.is_some() && pid == seen, work }
}

/// The process that has a lock on this file in the kernel's list of locks, if it can be seen from this PID namespace. That
/// list has lines of the form `2: FLOCK  ADVISORY  WRITE 2359 fe:00:5318491 0 EOF`; one that waits begins with `->`.
fn seen_holder(file: &File, proc: &Path) -> Option<u32> {
    // Its process ids are those of the namespace for which this `/proc` was mounted.
    let is_own = std::fs::read_link(proc.join("self")).is_ok_and(|own| own.as_os_str() == own_id().as_str());
    if !is_own {
        return None;
    }
    let its = file.metadata().ok()?;
    let all = std::fs::read_to_string(proc.join("locks")).ok()?;
    let number = its.ino().to_string();
    let holders: Vec<(u32, &str)> = all
        .lines()
        .filter_map(holder)
        .filter_map(|(pid, place)| {
            Some((pid, place.rsplit_once(':').filter(|(_, inode)| *inode == number)?.0))
        })
        .collect();
    let device = format!("{:02x}:{:02x}", rustix::fs::major(its.dev()), rustix::fs::minor(its.dev()));
    let listed = holders.iter().find(|(_, listed)| *listed == device);
    listed.or_else(|| holders.iter().find(|(pid, _)| has_locked(proc, *pid, &its))).map(|(pid, _)| *pid)
}

fn own_id() -> String {
    std::process::id().to_string()
}

/// The process and the file of a line of the kernel's list, if it is a lock as keyroll's.
fn holder(line: &str) -> Option<(u32, &str)> {
    let mut words = line.split_whitespace().skip(1);
    let (kind, pid) = (words.next()?, words.nth(2)?.parse::<u32>().ok()?);
    (kind == "FLOCK" && pid > 0).then_some((pid, words.next()?))
}

/// Whether a process has a lock on this file by one of its descriptors. The list has another device than the file where a file
/// system has several, as btrfs and overlayfs do.
fn has_locked(proc: &Path, pid: u32, its: &Metadata) -> bool {
    let process = proc.join(pid.to_string());
    let same = |there: Metadata| (there.dev(), there.ino()) == (its.dev(), its.ino());
    std::fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|descriptor| std::fs::metadata(descriptor.path()).is_ok_and(same))
        .filter_map(|descriptor| {
            std::fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())).ok()
        })
        .any(|facts| facts.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK")))
}

fn signed(file: &File) -> Signed {
    let mut text = String::new();
    if file.take(FILE_BYTES_MAX).read_to_string(&mut text).is_err() {
        return Signed::default();
    }
    let (first, rest) = text.split_once('\n').unwrap_or_default();
    let second = rest.split_once('\n').filter(|(line, _)| !line.trim().contains(' '));
    let (namespace, rest) = second.map_or((None, rest), |(line, rest)| (line.trim().parse().ok(), rest));
    Signed { pid: first.trim().parse().ok(), namespace, work: work_of(rest) }
}

/// Reads the last line; an incomplete line counts as none.
fn work_of(text: &str) -> Option<Work> {
    let mut words = text.strip_suffix('\n')?.splitn(3, ' ');
    let (rotation, since, secret) = (words.next()?, words.next()?, words.next()?);
    Some(Work {
        rotation: RotationId(rotation.to_owned()),
        secret: secret.to_owned(),
        since_unix_ms: since.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Writes into the lock file, at this place.
    fn put(path: &Path, text: &str, at: u64) {
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(text.as_bytes(), at).unwrap();
    }

    fn work() -> Work {
        Work { rotation: RotationId("a1".to_owned()), secret: "ring".to_owned(), since_unix_ms: 1 }
    }

    /// A `/proc` in which this process has this id and PID namespace, with a list of locks.
    fn a_proc(folder: &Path, own: &str, namespace: &str, locks: &str) -> PathBuf {
        let proc = folder.join("proc");
        let _ = std::fs::remove_dir_all(&proc);
        std::fs::create_dir_all(proc.join(own).join("ns")).unwrap();
        symlink(own, proc.join("self")).unwrap();
        symlink(format!("pid:[{namespace}]"), proc.join(own).join("ns/pid")).unwrap();
        std::fs::write(proc.join("locks"), locks).unwrap();
        proc
    }

    /// Process id, whether it is elsewhere, whether the kernel lists it.
    fn said(path: &Path, proc: &Path) -> (Option<u32>, bool, bool) {
        match held(Path::new("/"), &File::open(path).unwrap(), proc) {
            LockError::Held { pid, elsewhere, listed, .. } => (pid, elsewhere, listed),
            LockError::Io { .. } => panic!("it is held"),
        }
    }

    /// Red: an id of another namespace is taken for one of this, or its holder, which is visible here, is not found.
    #[test]
    fn the_process_id_of_another_namespace_is_never_taken_for_one_of_this() {
        let folder = tempfile::tempdir().unwrap();
        let lock = try_lock(folder.path()).unwrap();
        let (path, own, proc) = (folder.path().join(LOCK_FILE), std::process::id(), Path::new(PROC));
        lock.works_on(&work());
        let file = File::open(&path).unwrap();
        assert_eq!(signed(&file).namespace, namespace(proc));
        assert_eq!(said(&path, proc), (Some(own), false, true));
        // The kernel lists this process as the holder, whatever is written into the file.
        put(&path, &format!("{:<15}\n{:<15}\n", 1, 1), 0);
        assert_eq!(said(&path, proc), (Some(own), true, true));
        assert_eq!(signed(&File::open(&path).unwrap()).work, Some(work()));
        // The holder is not visible; one of another namespace is not visible without a `/proc` of one's own either.
        let empty = a_proc(folder.path(), &own.to_string(), "2", "");
        assert_eq!(said(&path, &empty), (None, true, false));
        assert_eq!(said(&path, &folder.path().join("none")), (None, true, false));
        put(&path, &format!("{:<15}\n{:<15}\n", 7, 2), 0);
        assert_eq!(said(&path, &empty), (Some(7), false, false));
    }

    /// Red: the id that an earlier keyroll wrote in another namespace is taken for this very process, or for the process that has
    /// it here.
    #[test]
    fn a_process_id_without_a_namespace_is_compared_with_the_kernels_list() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = try_lock(folder.path()).unwrap();
        let (path, own) = (folder.path().join(LOCK_FILE), std::process::id());
        let earlier = |pid: u32| {
            OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
            put(&path, &format!("{pid:<15}\na1 1 ring\n"), 0);
        };
        let empty = a_proc(folder.path(), &own.to_string(), "2", "");
        earlier(own);
        assert_eq!(said(&path, Path::new(PROC)), (Some(own), false, true));
        assert_eq!(said(&path, &empty), (None, true, false), "this process would have written its namespace");
        assert_eq!(signed(&File::open(&path).unwrap()).work, Some(work()));
        let other = own + 1;
        earlier(other);
        assert_eq!(said(&path, Path::new(PROC)), (Some(own), true, true));
        assert_eq!(said(&path, &empty), (Some(other), false, false), "no list says otherwise");
    }

    /// Red: a lock of another kind or file counts, a list of another namespace is read, or the holder is not found where the
    /// list has another device.
    #[test]
    fn only_the_holder_of_this_very_file_is_found_in_the_kernels_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        std::fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        let its = file.metadata().unwrap();
        let inode = its.ino();
        let (major, minor) = (rustix::fs::major(its.dev()), rustix::fs::minor(its.dev()));
        let place = format!("{major:02x}:{minor:02x}:{inode}");
        let (own, line) = (own_id(), format!("1: FLOCK  ADVISORY  WRITE 7 {place} 0 EOF\n"));
        let seen = |own: &str, lines: &str| seen_holder(&file, &a_proc(folder.path(), own, "2", lines));
        assert_eq!(seen(&own, &line), Some(7));
        assert_eq!(seen("0", &line), None, "a `/proc` of another namespace");
        // A lock of another kind, one that waits, one of a process that is not visible, another file, and none.
        for other in [
            line.replace("FLOCK", "POSIX"),
            line.replace("FLOCK", "-> FLOCK"),
            line.replace("WRITE 7", "WRITE 0"),
            line.replace(&place, &format!("{place}1")),
            String::new(),
        ] {
            assert_eq!(seen(&own, &other), None, "{other}");
        }
        assert_eq!(seen_holder(&file, &folder.path().join("none")), None);
        // A file system with several devices: process 8 has locked another file with the same number, 9 has only opened this.
        let lines: String = [8, 9, 7]
            .map(|pid| format!("1: FLOCK  ADVISORY  WRITE {pid} fff:fffff:{inode} 0 EOF\n"))
            .concat();
        let proc = a_proc(folder.path(), &own, "2", &lines);
        let opens = |pid: u32, path: &Path, facts: &str| {
            let process = proc.join(pid.to_string());
            std::fs::create_dir_all(process.join("fd")).unwrap();
            std::fs::create_dir_all(process.join("fdinfo")).unwrap();
            symlink(path, process.join("fd/3")).unwrap();
            std::fs::write(process.join("fdinfo/3"), facts).unwrap();
        };
        let locked = format!("pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 7 fff:fffff:{inode} 0 EOF\n");
        opens(8, folder.path(), &locked);
        opens(9, &path, "pos:\t0\n");
        assert_eq!(seen_holder(&file, &proc), None);
        opens(7, &path, &locked);
        assert_eq!(seen_holder(&file, &proc), Some(7));
    }
}
