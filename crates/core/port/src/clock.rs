use std::future::Future;
use std::pin::Pin;

/// A wait for a point in time.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time as the engine sees it.
pub trait Clock: Send + Sync {
    /// Milliseconds since this boot, suspended time included; never goes backwards within a boot.
    fn monotonic_ms(&self) -> u64;

    /// A digest of the boot id.
    fn boot(&self) -> u64;

    /// Milliseconds since the Unix epoch; for display only, it may jump.
    fn unix_ms(&self) -> u64;

    /// Ends when [`Self::monotonic_ms`] has reached `ms`; if it already has, at once.
    fn sleep_until(&self, ms: u64) -> Sleep;
}
