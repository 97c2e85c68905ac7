//! The open parts of an installation: each is opened once, on first use, and closed when the command ends.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use keyroll_config::StoreRef;
use keyroll_journal::{FileStamp, SqliteJournal};
use keyroll_port::Truth;
use keyroll_secret::SealingKey;
use keyroll_store::SealedStore;
use tokio::runtime::Runtime;

use crate::redact::Remembering;

/// The open parts of an installation.
#[derive(Default)]
pub(crate) struct Handles {
    // Dropped first, so that nothing runs when the others close.
    pub(crate) runtime: OnceLock<Arc<Runtime>>,
    pub(crate) key: OnceLock<SealingKey>,
    pub(crate) journal: OnceLock<Arc<SqliteJournal>>,
    /// When the journal was opened here, and how long that took.
    pub(crate) journal_opened: OnceLock<(Instant, Duration)>,
    pub(crate) store: OnceLock<Arc<Remembering<SealedStore>>>,
    /// The stores outside of keyroll, each with the login that was found for it.
    truths: Mutex<BTreeMap<StoreRef, Arc<dyn Truth>>>,
    /// The files that were opened, each with its identity at that time.
    files: Mutex<Vec<(PathBuf, FileId)>>,
}

/// The device and the inode of a file.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Handles {
    /// Opens something at this path, and remembers which file was there.
    pub(crate) fn opening<T, E>(&self, path: PathBuf, open: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // A file that is replaced during the opening counts as replaced.
        let before = file_id(&path);
        let opened = open()?;
        if let Some(id) = before.or_else(|| file_id(&path)) {
            self.files().push((path, id));
        }
        Ok(opened)
    }

    /// The source of truth that this command uses for a store.
    pub(crate) fn truth(&self, store: &StoreRef) -> Option<Arc<dyn Truth>> {
        self.truths.lock().unwrap_or_else(PoisonError::into_inner).get(store).cloned()
    }

    /// Uses this source of truth for a store until the command ends.
    pub(crate) fn keep_truth(&self, store: &StoreRef, truth: Arc<dyn Truth>) {
        self.truths.lock().unwrap_or_else(PoisonError::into_inner).insert(store.clone(), truth);
    }

    fn files(&self) -> MutexGuard<'_, Vec<(PathBuf, FileId)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of the opened files was replaced or removed since, for example because the state folder was restored
    /// from a backup. Anything written to the opened file would then be lost.
    pub(crate) fn are_replaced(&self) -> bool {
        self.files().iter().any(|(path, id)| file_id(path) != Some(*id))
    }
}

/// The journal of a process that looks at the installation again and again. Opening a journal may read all of it, which
/// takes longer the more it has; a process that reads it each second must not do that each time. The sealing key and the store
/// are not kept.
#[derive(Debug, Default)]
pub struct KeptJournal(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    handles: Handles,
    /// When the journal was opened, and how long that took.
    opened: Instant,
    took: Duration,
    /// The file as it was then: a backup may be copied over it, and an open journal would not show that.
    file: PathBuf,
    stamp: Option<FileStamp>,
}

/// How long a journal is kept, at least. It is closed from time to time so that all of it is in the one file that a backup
/// takes, and so that what became of its file is noticed.
const KEPT_MIN: Duration = Duration::from_secs(10);
/// And at least so many times as long as its opening took.
const KEPT_TIMES: u32 = 50;

impl KeptJournal {
    /// Handles with the kept journal, or with nothing opened yet.
    pub(crate) fn handles(&self) -> Arc<Handles> {
        let is_old = |one: &Kept| {
            one.handles.are_replaced()
                || one.stamp != FileStamp::of(&one.file)
                || one.opened.elapsed() > KEPT_MIN.max(one.took.saturating_mul(KEPT_TIMES))
        };
        let old = self.kept().take_if(|one| is_old(one));
        // Closing waits for its threads, and nobody else waits for that.
        drop(old);
        let kept = self.kept();
        let Some(one) = kept.as_ref() else { return Arc::default() };
        let Handles { runtime, journal, .. } = &one.handles;
        Arc::new(Handles {
            runtime: runtime.clone(),
            journal: journal.clone(),
            files: Mutex::new(one.handles.files().clone()),
            ..Handles::default()
        })
    }

    /// Keeps what was opened, unless something is kept already.
    pub(crate) fn keep(&self, file: PathBuf, handles: &Handles) {
        let mut kept = self.kept();
        let Some((opened, took)) = handles.journal_opened.get().copied().filter(|_| kept.is_none()) else {
            return;
        };
        let its = handles.files().iter().filter(|(path, _)| *path == file).cloned().collect();
        let only = Handles {
            runtime: handles.runtime.clone(),
            journal: handles.journal.clone(),
            files: Mutex::new(its),
            ..Handles::default()
        };
        *kept = Some(Kept { handles: only, opened, took, stamp: FileStamp::of(&file), file });
    }

    /// Closes it: a failed write stops a journal for good.
    pub fn forget(&self) {
        let old = self.kept().take();
        drop(old);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may be dropped by a task, which must not wait for a runtime to end. Nothing runs on it between two looks.
        if let Some(runtime) = self.handles.runtime.take().and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handles")
    }
}

/// The value of the cell, or else what `open` returns; after a failure the next call tries again.
pub(crate) fn once<T, E>(cell: &OnceLock<T>, open: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let opened = open()?;
    Ok(cell.get_or_init(|| opened))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own folder")]
mod tests {
    use super::*;
    use crate::installation::Installation;
    use crate::places::Locations;
    use crate::wiring::open;

    #[test]
    fn a_kept_journal_is_opened_once_and_anew_when_its_file_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (state, keys) = (folder.path().join("state"), folder.path().join("keys"));
        let kept = KeptJournal::default();
        let look = || {
            let (state, keys) = (Some(state.clone()), Some(keys.clone()));
            let locations = Locations { state, keys, ..Locations::default() };
            Installation::with_kept(locations, &kept, |installation| open::journal(&installation.places()?))
                .unwrap()
        };
        let first = look();
        assert!(Arc::ptr_eq(&first, &look()));
        // As a restore from a backup does.
        let (file, other) = (state.join("journal.db"), state.join("other.db"));
        drop(first);
        kept.forget();
        let second = look();
        std::fs::copy(&file, &other).unwrap();
        std::fs::rename(&other, &file).unwrap();
        let third = look();
        assert!(!Arc::ptr_eq(&second, &third), "the file was replaced");
        std::fs::write(&other, std::fs::read(&file).unwrap()).unwrap();
        std::fs::copy(&other, &file).unwrap();
        let over = look();
        assert!(!Arc::ptr_eq(&third, &over), "another file was copied over it");
        drop((second, third));
        let third = over;
        kept.forget();
        assert!(!Arc::ptr_eq(&third, &look()), "after a failed write");
    }
}
