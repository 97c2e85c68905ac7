use std::num::NonZeroUsize;

/// The default of [`Bounds::object_bytes_max`].
pub const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The default of [`Bounds::kept_bytes_max`].
pub const KEPT_BYTES_MAX: usize = 192 * 1024 * 1024;

/// The default of [`Bounds::total_bytes_max`]: a forged repository of a few kilobytes can inflate to more than anyone
/// waits for. The largest public histories have some hundred gigabytes.
pub const TOTAL_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024 * 1024;

/// The most threads of a scan.
pub const WORKERS_MAX: usize = 64;

/// The limits of a scan.
///
/// Memory: the index and delta tree of one pack at a time (about 60 bytes for each object), and for each thread at
/// most `kept_bytes_max` plus four of the largest objects; usually some megabytes.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The number of threads, from 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// The largest object that is scanned, bytes.
    pub object_bytes_max: u64,
    /// The most bytes of delta bases that a thread keeps. Beyond, the oldest ones are dropped and built again, which
    /// takes time.
    pub kept_bytes_max: usize,
    /// The most bytes that are inflated in one scan.
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
