//! The open parts of an installation: each is opened once, on first use, and closed when the command ends.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keyroll_journal::SqliteJournal;
use keyroll_secret::SealingKey;
use keyroll_store::SealedStore;
use tokio::runtime::Runtime;

use crate::redact::Remembering;

/// The open parts of an installation.
#[derive(Default)]
pub(crate) struct Handles {
    // Dropped first, so that nothing runs when the others close.
    pub(crate) runtime: OnceLock<Runtime>,
    pub(crate) key: OnceLock<SealingKey>,
    pub(crate) journal: OnceLock<Arc<SqliteJournal>>,
    pub(crate) store: OnceLock<Arc<Remembering<SealedStore>>>,
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
            self.files.lock().unwrap_or_else(PoisonError::into_inner).push((path, id));
        }
        Ok(opened)
    }

    /// Whether one of the opened files was replaced or removed since, for example because the state folder was restored
    /// from a backup. Anything written to the opened file would then be lost.
    pub(crate) fn are_replaced(&self) -> bool {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().any(|(path, id)| file_id(path) != Some(*id))
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
