//! How often something may happen.

use std::time::{Duration, Instant};

/// At most so many within each second.
#[derive(Debug)]
pub(crate) struct PerSecond {
    most: u32,
    since: Instant,
    count: u32,
}

impl PerSecond {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, since: Instant::now(), count: 0 }
    }

    /// Counts one more; whether it is within the limit.
    pub(crate) fn count(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.count) = (Instant::now(), 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= self.most
    }
}
