//! Which processes opened a consumer's files since they were written: evidence that a file was read, not that its value
//! was loaded.

use keyroll_observe::{OpenWatch, ProcessId};
use keyroll_rotation::{ConsumerId, FileId, Which};
use rustix::fd::OwnedFd;

use super::Local;

impl Local {
    /// Watches a file that holds a version from now on. Where the system cannot watch it, there is no evidence that
    /// anybody read it.
    pub(super) fn watch_reads(&self, file: FileId, which: Which, held: &OwnedFd) {
        let watch = OpenWatch::on(held);
        let mut memo = self.memo();
        match watch {
            Ok(watch) => drop(memo.reads.insert(file, (which, watch))),
            Err(_) => drop(memo.reads.remove(&file)),
        }
    }

    /// Whether the program that runs in this process opened every file of its consumer since the version was written into
    /// it.
    pub(super) fn read_all(&self, id: ConsumerId, process: &ProcessId, which: Which) -> bool {
        let Some(consumer) = self.setup.consumer(id) else { return false };
        let program = keyroll_observe::program(process);
        let memo = self.memo();
        let read = |file: &FileId| {
            let watched = memo.reads.get(file).filter(|(of, _)| *of == which);
            watched.is_some_and(|(_, watch)| watch.saw(process, program).unwrap_or(false))
        };
        !consumer.files.is_empty() && consumer.files.iter().all(read)
    }
}
