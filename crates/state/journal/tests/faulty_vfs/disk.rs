//! A folder whose system calls are counted, recorded, and made to fail at a chosen place.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A kind of call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Lock,
    /// Maps a part of the index of the write-ahead log.
    MapShared,
    /// Locks a part of that index.
    LockShared,
    Delete,
    Rename,
    MakeFolder,
}

/// What happens instead of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The disk does not answer (EIO); nothing was done. A failed fsync drops what was not durable before it.
    Io,
    /// As [`Fault::Io`], after half of the bytes.
    HalfThenIo,
    /// There is no space (ENOSPC); nothing was done.
    Full,
    /// As [`Fault::Full`], after half of the bytes.
    HalfThenFull,
    /// Another process holds the lock.
    Busy,
    /// It is answered with success and makes nothing durable.
    Lie,
}

impl Call {
    /// The faults that this call can have.
    pub(crate) fn faults(self) -> &'static [Fault] {
        use Fault::{Busy, Full, HalfThenFull, HalfThenIo, Io, Lie};
        match self {
            Self::Write => &[Io, HalfThenIo, Full, HalfThenFull],
            Self::Sync => &[Io, Full, Lie],
            Self::Open | Self::MapShared | Self::Rename | Self::MakeFolder => &[Io, Full],
            Self::Read | Self::Truncate | Self::Size | Self::Delete => &[Io],
            Self::Lock | Self::LockShared => &[Io, Busy],
        }
    }

    /// Whether it changes the disk, or makes it durable.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::Size | Self::Lock | Self::LockShared)
    }

    /// Whether a fault that lasts also meets this call.
    fn meets(self, fault: Fault) -> bool {
        let writes =
            matches!(self, Self::Write | Self::Open | Self::MapShared | Self::Rename | Self::MakeFolder);
        match fault {
            Fault::Io | Fault::HalfThenIo => true,
            // A full disk still syncs what it has.
            Fault::Full | Fault::HalfThenFull => writes,
            Fault::Busy => matches!(self, Self::Lock | Self::LockShared),
            Fault::Lie => self == Self::Sync,
        }
    }
}

/// A fault at the call with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
    /// The calls after it fail too, until the fault ends.
    pub(crate) lasts: bool,
}

/// A call that changed the disk, in its order. Paths are relative to the folder.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create(PathBuf),
    Write {
        path: PathBuf,
        at: u64,
        bytes: Arc<[u8]>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    /// The content of the file is durable.
    Sync(PathBuf),
    /// The sync failed: the system may have dropped what was not durable, and never writes it later.
    SyncFailed(PathBuf),
    /// The names in the folder are durable.
    SyncFolder(PathBuf),
    Delete(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Record {
    calls: Vec<(Call, String)>,
    changes: Vec<Change>,
    plan: Option<Plan>,
    uncounted: bool,
    /// The call that the fault met first.
    met: Option<(Call, String)>,
}

/// One folder.
pub(crate) struct Disk {
    folder: PathBuf,
    record: Mutex<Record>,
}

static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

impl Disk {
    /// Watches a folder until the last handle is dropped.
    pub(crate) fn watch(folder: &Path, plan: Option<Plan>) -> Arc<Self> {
        let record = Record { plan, ..Record::default() };
        let disk = Arc::new(Self { folder: folder.to_owned(), record: Mutex::new(record) });
        let mut disks = locked(&DISKS);
        disks.retain(|disk| disk.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        disk
    }

    /// The disk that a path is on, and the path from its folder.
    pub(crate) fn of(path: &Path) -> Option<(Arc<Self>, PathBuf)> {
        let disks = locked(&DISKS);
        disks.iter().filter_map(Weak::upgrade).find_map(|disk| {
            let below = path.strip_prefix(&disk.folder).ok()?.to_owned();
            Some((disk, below))
        })
    }

    /// Counts a call, and returns the fault that it is to have.
    pub(crate) fn call(&self, call: Call, path: &Path) -> Option<Fault> {
        let mut record = locked(&self.record);
        if record.uncounted {
            return None;
        }
        let number = record.calls.len();
        record.calls.push((call, path.display().to_string()));
        let plan = record.plan?;
        let begins = number == plan.at;
        if begins {
            record.met = record.calls.last().cloned();
        }
        let fault =
            (begins || plan.lasts && number > plan.at && call.meets(plan.fault)).then_some(plan.fault)?;
        // A call without bytes has no half.
        let fault = match (fault, call) {
            (fault, Call::Write) => fault,
            (Fault::HalfThenIo, _) => Fault::Io,
            (Fault::HalfThenFull, _) => Fault::Full,
            (fault, _) => fault,
        };
        if call == Call::Sync && fault != Fault::Lie {
            record.changes.push(Change::SyncFailed(path.to_owned()));
        }
        Some(fault)
    }

    /// The fault is over.
    pub(crate) fn mend(&self) {
        locked(&self.record).plan = None;
    }

    /// From now on calls are counted and may fail, or not.
    pub(crate) fn counts(&self, counts: bool) {
        locked(&self.record).uncounted = !counts;
    }

    /// Records a change.
    pub(crate) fn changed(&self, change: Change) {
        locked(&self.record).changes.push(change);
    }

    /// How many changes there were.
    pub(crate) fn now(&self) -> usize {
        locked(&self.record).changes.len()
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        locked(&self.record).calls.len()
    }

    /// All calls that could have failed.
    pub(crate) fn calls(&self) -> Vec<(Call, String)> {
        locked(&self.record).calls.clone()
    }

    /// All changes.
    pub(crate) fn changes(&self) -> Vec<Change> {
        locked(&self.record).changes.clone()
    }

    /// The call that the fault met.
    pub(crate) fn met(&self) -> Option<(Call, String)> {
        locked(&self.record).met.clone()
    }
}

/// A panic of another thread is reported by itself.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static UNWATCHED: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, the calls of this thread are not counted and do not fail; their changes are recorded all the same.
pub(crate) struct Unwatched(());

impl Unwatched {
    pub(crate) fn begin() -> Self {
        UNWATCHED.with(|depth| depth.set(depth.get() + 1));
        Self(())
    }

    /// Whether the calls of this thread are counted.
    pub(crate) fn is_on() -> bool {
        // A thread that ends has no such variable any more.
        UNWATCHED.try_with(|depth| depth.get() > 0).unwrap_or(true)
    }
}

impl Drop for Unwatched {
    fn drop(&mut self) {
        UNWATCHED.with(|depth| depth.set(depth.get() - 1));
    }
}
