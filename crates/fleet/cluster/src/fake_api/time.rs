//! The time of a test: it passes only for who waits.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter;
use keyroll_port::{Clock, Sleep};

/// 2026-01-01T00:00:00Z, from which the time is counted.
pub(crate) const EPOCH: i64 = 1_767_225_600;

/// The clock of keyroll and of the server.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    /// Some time after [`EPOCH`].
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(100_000_000)))
    }

    /// So many milliseconds pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// It is so many seconds after [`EPOCH`].
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(u64::try_from(seconds).unwrap() * 1000, Ordering::SeqCst);
    }

    /// Whole seconds since the Unix epoch.
    pub(crate) fn seconds(&self) -> i64 {
        EPOCH + i64::try_from(self.monotonic_ms() / 1000).unwrap()
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_second(self.seconds()).unwrap()
    }

    /// As objects have it.
    pub(super) fn text(&self) -> String {
        self.timestamp().to_string()
    }

    /// As the head of an answer has it. Source: <https://datatracker.ietf.org/doc/html/rfc9110#section-5.6.7>.
    pub(super) fn date(&self) -> String {
        DateTimePrinter::new().timestamp_to_rfc9110_string(&self.timestamp()).unwrap()
    }
}

impl Clock for Time {
    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn boot(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> u64 {
        u64::try_from(EPOCH).unwrap() * 1000 + self.monotonic_ms()
    }

    fn sleep_until(&self, ms: u64) -> Sleep {
        self.0.fetch_max(ms, Ordering::SeqCst);
        Box::pin(ready(()))
    }
}
