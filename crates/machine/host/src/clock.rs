use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyroll_port::{Clock, Sleep};
use rustix::time::{ClockId, clock_gettime};

/// This machine's time.
pub struct SystemClock {
    boot: u64,
}

impl SystemClock {
    /// Reads the boot id once. Without a boot id, every start of keyroll counts as a new boot, so that times of
    /// different starts are never compared.
    pub fn new() -> Self {
        let boot = keyroll_observe::boot().unwrap_or_else(|_| u64::from(std::process::id()) << 32);
        Self { boot }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic_ms(&self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(millis)
    }

    fn boot(&self) -> u64 {
        self.boot
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, ms: u64) -> Sleep {
        let wait = Duration::from_millis(ms.saturating_sub(self.monotonic_ms()));
        Box::pin(tokio::time::sleep(wait))
    }
}
