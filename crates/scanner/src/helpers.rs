use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The most threads that help at once.
const HELPERS_MAX: usize = 16;

/// How many threads may help those that read: one for each processor, for all texts of a scan. So there are never more than
/// twice as many threads as processors, however many long texts are read at once.
pub(crate) struct Helpers {
    free: AtomicUsize,
}

impl Helpers {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count) }
    }

    /// As many as are free, up to so many.
    pub(crate) fn take(&self, most: usize) -> Taken<'_> {
        let mut count = 0;
        let _ = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
            count = free.min(most);
            Some(free - count)
        });
        Taken { from: self, count }
    }
}

impl Default for Helpers {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get).min(HELPERS_MAX))
    }
}

/// Some of them. They are given back when it is dropped.
pub(crate) struct Taken<'h> {
    from: &'h Helpers,
    count: usize,
}

impl Taken<'_> {
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.from.free.fetch_add(self.count, Ordering::Relaxed);
    }
}
