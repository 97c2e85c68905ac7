use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The most helpers at once.
const HELPERS_MAX: usize = 16;

/// The number of free helpers: one for each processor, for all texts of a scan. So there are at most twice as many
/// threads as processors, however many long texts are read at once.
pub(crate) struct HelperThreads {
    free: AtomicUsize,
}

impl HelperThreads {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count) }
    }

    /// Reserves free helpers, up to `most`.
    pub(crate) fn take(&self, most: usize) -> ReservedHelpers<'_> {
        let mut count = 0;
        let _ = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
            count = free.min(most);
            Some(free - count)
        });
        ReservedHelpers { from: self, count }
    }
}

impl Default for HelperThreads {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get).min(HELPERS_MAX))
    }
}

/// Reserved helpers; released on drop.
pub(crate) struct ReservedHelpers<'h> {
    from: &'h HelperThreads,
    count: usize,
}

impl ReservedHelpers<'_> {
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for ReservedHelpers<'_> {
    fn drop(&mut self) {
        self.from.free.fetch_add(self.count, Ordering::Relaxed);
    }
}
