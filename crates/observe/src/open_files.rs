use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use crate::listing::undeleted;
use crate::proc::ProcFolder;
use crate::worker::read_each;
use crate::{Listing, NotVisible, ProcessId};

/// How many open files of one process are looked at.
const OPEN_FILES_MAX: usize = 65_536;

/// How long one process may take to answer, milliseconds.
const STEP_MS_MAX: u64 = 2_000;

/// One regular file that a process has open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenFile {
    /// Its path as the kernel shows it here; of a process with mounts of its own, inside these.
    pub path: PathBuf,
    /// The name is gone, or leads to another file by now.
    pub removed: bool,
    /// The file system's number and the file's own: the same for every name and every mount.
    pub file: (u64, u64),
}

/// What a process has open, or why that is not visible.
pub type OpenAnswer = Result<Vec<OpenFile>, NotVisible>;

/// The regular files that each of the processes has open. What a program read and closed is not among them.
pub fn open_files(processes: &[ProcessId], wait: Duration, take: &mut dyn FnMut(&ProcessId, OpenAnswer)) {
    let step = Duration::from_millis(STEP_MS_MAX);
    read_each(processes, step, Instant::now() + wait, open_of, take);
}

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
    let processes: Vec<ProcessId> = listing.seen.iter().map(|process| process.id).collect();
    let mut found = OpenFiles::default();
    open_files(&processes, wait, &mut |process, answer| match answer {
        Ok(open) => {
            let here = |removed| open.iter().any(|one| one.path == path && one.removed == removed);
            if here(false) {
                found.now.push(*process);
            }
            if here(true) {
                found.replaced.push(*process);
            }
        }
        Err(NotVisible::Vanished | NotVisible::Replaced) => {}
        Err(reason) => found.hidden.push((*process, reason)),
    });
    found
}

fn open_of(process: &ProcessId) -> OpenAnswer {
    let folder = ProcFolder::open_exact(process)?;
    let descriptors = folder.numbers("fd", OPEN_FILES_MAX)?;
    // One that was closed meanwhile is not open.
    let open = descriptors.iter().filter_map(|descriptor| {
        let link = format!("fd/{descriptor}");
        let (path, removed) = undeleted(folder.link(&link).ok()?);
        // Sockets, pipes and the kernel's own have no path; devices may be slow to tell what they are.
        let path = path.filter(|path| path.is_absolute() && !path.starts_with("/dev"))?;
        let behind = folder.behind(&link).ok()?;
        let regular = FileType::from_raw_mode(behind.st_mode) == FileType::RegularFile;
        regular.then_some(OpenFile { path, removed, file: (behind.st_dev, behind.st_ino) })
    });
    Ok(open.collect())
}
