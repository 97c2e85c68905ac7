use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long to wait between two looks.
const LOOK_PAUSE_MS: u64 = 10;

/// A moment after which a test stops waiting.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So many seconds from now.
    pub fn seconds(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// What was waited for did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlinePassed;

impl fmt::Display for DeadlinePassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for DeadlinePassed {}

/// Looks again and again until there is something, or the deadline has passed; the last look comes after it.
///
/// # Errors
/// [`DeadlinePassed`] if `look` never showed anything.
pub async fn until<T, F: Future<Output = Option<T>>>(
    deadline: Deadline,
    mut look: impl FnMut() -> F,
) -> Result<T, DeadlinePassed> {
    loop {
        let last = deadline.passed();
        if let Some(found) = look().await {
            return Ok(found);
        }
        if last {
            return Err(DeadlinePassed);
        }
        sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
    }
}
