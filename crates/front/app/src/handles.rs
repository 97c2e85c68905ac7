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
    /// The files that were opened, with what told them apart from others then.
    files: Mutex<Vec<(PathBuf, FileId)>>,
}

/// The device and the inode of a file.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Handles {
    /// Opens something that has this file, and remembers which file that was.
    pub(crate) fn opening<T, E>(&self, path: PathBuf, open: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // One that is replaced while it is opened counts as replaced.
        let before = file_id(&path);
        let opened = open()?;
        if let Some(id) = before.or_else(|| file_id(&path)) {
            self.files.lock().unwrap_or_else(PoisonError::into_inner).push((path, id));
        }
        Ok(opened)
    }

    /// Whether another file, or none, is where one of the opened ones was: a state folder that was restored from a
    /// backup. What is written to the opened ones then is lost.
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
