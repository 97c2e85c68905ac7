use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::proc::ProcFolder;
use crate::worker::read_each;
use crate::{Listing, NotVisible, ProcessId};

/// How many open files of one process are looked at.
const OPEN_FILES_MAX: usize = 65_536;

/// How long one process may take to answer, milliseconds.
const STEP_MS_MAX: u64 = 2_000;

/// Who has a file open at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// Processes that have the file open that stands under the path now.
    pub now: Vec<ProcessId>,
    /// Processes that still have an earlier file open which stood under that path and was replaced or removed.
    pub replaced: Vec<ProcessId>,
    /// Processes whose open files are not visible, and why.
    pub hidden: Vec<(ProcessId, NotVisible)>,
}

/// Who has the file open now. A program that reads a file and closes it is not seen: an empty answer proves nothing.
/// Compared by path as the kernel shows it, links resolved; a file under another mount is not recognised.
pub fn who_opened(listing: &Listing, path: &Path, wait: Duration) -> OpenFiles {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut removed = path.clone().into_os_string();
    removed.push(" (deleted)");
    let removed = PathBuf::from(removed);
    let processes: Vec<ProcessId> = listing.seen.iter().map(|process| process.id).collect();
    let mut found = OpenFiles::default();
    let step = Duration::from_millis(STEP_MS_MAX);
    read_each(&processes, step, Instant::now() + wait, open_paths, &mut |process, answer| match answer {
        Ok(paths) => {
            if paths.contains(&path) {
                found.now.push(*process);
            }
            if paths.contains(&removed) {
                found.replaced.push(*process);
            }
        }
        Err(NotVisible::Vanished | NotVisible::Replaced) => {}
        Err(reason) => found.hidden.push((*process, reason)),
    });
    found
}

fn open_paths(process: &ProcessId) -> Result<Vec<PathBuf>, NotVisible> {
    let folder = ProcFolder::open_exact(process)?;
    let descriptors = folder.numbers("fd", OPEN_FILES_MAX)?;
    Ok(descriptors.iter().filter_map(|descriptor| folder.link(&format!("fd/{descriptor}")).ok()).collect())
}
