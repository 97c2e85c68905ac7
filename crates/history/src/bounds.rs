//! How much a walk may use.

use std::num::NonZeroUsize;

/// The largest object that is looked at, bytes, unless the caller says otherwise.
pub const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most bytes of bases that a thread keeps for what is still to be made from them, unless the caller says
/// otherwise.
pub const KEPT_BYTES_MAX: usize = 192 * 1024 * 1024;

/// The most bytes that are inflated in one walk, unless the caller says otherwise: a repository of a few kilobytes can
/// be written that becomes more than anyone waits for. The largest public histories have some hundred gigabytes.
pub const TOTAL_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024 * 1024;

/// The most threads.
pub const WORKERS_MAX: usize = 64;

/// How much a walk may use.
///
/// Memory: an index and a tree of each pack, one after the other (about 60 bytes an object), and for each thread at
/// most the bases that are kept plus four of the largest objects; some megabytes for what people write.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How many threads look; at least one, at most [`WORKERS_MAX`].
    pub workers: usize,
    /// The largest object that is looked at, bytes.
    pub object_bytes_max: u64,
    /// The most bytes of bases that a thread keeps for what is still to be made from them. Above, the oldest are made
    /// again, which takes time.
    pub kept_bytes_max: usize,
    /// The most bytes that are inflated in all.
    pub total_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Bounds {
            workers,
            object_bytes_max: OBJECT_BYTES_MAX,
            kept_bytes_max: KEPT_BYTES_MAX,
            total_bytes_max: TOTAL_BYTES_MAX,
        }
    }
}

impl Bounds {
    pub(crate) fn threads(&self) -> usize {
        self.workers.clamp(1, WORKERS_MAX)
    }
}
