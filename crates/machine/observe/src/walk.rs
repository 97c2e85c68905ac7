use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::NotVisible;
use crate::files::{Choice, FileLimits, FilesReport, PathKind, leave};
use crate::look::Look;
use crate::pool::{PathResult, Pool};

/// How many threads read: the disk and the kernel's caches serve two well, and the machine has other work.
const THREADS: usize = 2;

/// How long the caller waits for answers before it looks for stuck threads, milliseconds.
const QUIET_MS_MAX: u64 = 20;

/// Reads the regular files below the roots (a root may be a file) on several threads, only those that `choose` accepts,
/// and passes each result of `look` to `take`, in no order. A folder that `choose` does not accept is not searched.
///
/// Links, FIFOs, sockets and devices below a root are never opened; a root that is a link is followed. Files that
/// vanish during the walk are skipped and not reported. A file that does not answer is named, and the walk continues.
/// The report has no hits.
pub fn look_at_files<T: Send + 'static>(
    roots: &[PathBuf],
    choose: fn(&Path, PathKind) -> Choice,
    limits: FileLimits,
    look: Look<T>,
    take: &mut dyn FnMut(&Path, T),
) -> FilesReport {
    let mut report = FilesReport::default();
    let deadline = Instant::now() + limits.wait;
    let pool = Arc::new(Pool::new(roots, choose, limits, look));
    let mut missing = 0;
    // Without time nothing is begun: a partial result would look like the whole.
    for _ in 0..if limits.wait.is_zero() { 0 } else { THREADS } {
        missing += usize::from(Pool::start(&pool).is_err());
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (answers, quiet) = pool.answers(left.min(Duration::from_millis(QUIET_MS_MAX)));
        for answer in answers {
            match answer {
                PathResult::Searched(path, seen) => {
                    report.files += 1;
                    take(&path, seen);
                }
                PathResult::Unread(path, reason) => leave(&mut report, path, reason),
                PathResult::LeftOut(reason) => *report.left_out.entry(reason).or_default() += 1,
            }
        }
        if left.is_zero() || missing >= THREADS {
            let why = if left.is_zero() { NotVisible::OutOfTime } else { NotVisible::TooManyStuck };
            for path in pool.give_up() {
                leave(&mut report, path, format!("all or a part of it: {why}"));
            }
            return report;
        }
        for path in pool.abandon(limits.step) {
            leave(&mut report, path, NotVisible::Stuck.to_string());
            missing += usize::from(Pool::start(&pool).is_err());
        }
        if quiet && pool.finished() {
            return report;
        }
    }
}
