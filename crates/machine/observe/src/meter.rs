use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

static SEARCHED_NS: AtomicU64 = AtomicU64::new(0);

/// Processor time that this process has spent so far on reading and searching the memory of others. It depends on the
/// machine and not on keyroll's own work, so the figures show the two separately.
pub fn memory_search_time() -> Duration {
    Duration::from_nanos(SEARCHED_NS.load(Ordering::Relaxed))
}

/// Counts the processor time of this thread until it is dropped.
pub(crate) struct Meter(u64);

impl Meter {
    pub(crate) fn start() -> Self {
        Self(thread_ns())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        SEARCHED_NS.fetch_add(thread_ns().saturating_sub(self.0), Ordering::Relaxed);
    }
}

fn thread_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    whole.saturating_add(u64::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryLimits, memory_holds, process};

    #[test]
    fn a_search_of_memory_is_counted() {
        let value = keyroll_secret::SecretBytes::new(b"a value that is looked for".to_vec());
        let needles = keyroll_needle::Needles::builder().add(keyroll_needle::NeedleId(0), &value);
        let needles = needles.build().expect("needles");
        let own = process(std::process::id()).expect("this process").id;
        let before = memory_search_time();
        assert!(memory_holds(&own, &needles, MemoryLimits::default()).bytes_read > 0);
        assert!(memory_search_time() > before);
    }
}
