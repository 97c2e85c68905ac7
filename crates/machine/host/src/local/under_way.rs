//! Effects that are running. If the driver stops waiting for an effect, it runs on in its thread, but begins nothing
//! new; until it has ended nobody knows its outcome.

use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Asked, Class, Clock as _, Failure};
use keyroll_rotation::Seq;

use super::Local;
use super::memo::UnderWay;
use crate::SystemClock;

/// One effect, from its call to its end.
pub(super) struct OneEffect<'a> {
    pub(super) intent: Seq,
    /// The time limit; after it nobody waits for the effect.
    pub(super) until: Instant,
    all: &'a UnderWay,
}

impl OneEffect<'_> {
    /// Called right before each change: refused after the time limit.
    pub(super) fn may_begin(&self, code: Code, attempted: impl FnOnce() -> String) -> Result<(), Failure> {
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(Failure::new(Class::Retryable, code, attempted())
            .because("the steps before it took longer than the effect may take"))
    }
}

impl Drop for OneEffect<'_> {
    fn drop(&mut self) {
        self.all.intents().remove(&self.intent);
    }
}

impl Local {
    /// Begins an effect. An intent has at most one running effect.
    pub(super) fn begin(&self, asked: Asked) -> Result<OneEffect<'_>, Failure> {
        let Asked { intent, until_ms } = asked;
        if !self.under_way.intents().insert(intent) {
            return Err(goes_on(intent));
        }
        let left_ms = until_ms.saturating_sub(SystemClock::new().monotonic_ms());
        // A time limit beyond the range of the clock is no limit.
        let now = Instant::now();
        let until = now.checked_add(Duration::from_millis(left_ms)).unwrap_or(now + FOREVER);
        Ok(OneEffect { intent, until, all: &self.under_way })
    }

    pub(super) fn refuse_under_way(&self, intent: Seq) -> Result<(), Failure> {
        if self.under_way.intents().contains(&intent) { Err(goes_on(intent)) } else { Ok(()) }
    }
}

/// Longer than any rotation.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn goes_on(intent: Seq) -> Failure {
    Failure::new(Class::Retryable, Code::WriteFailed, format!("see the outcome of step {intent}"))
        .because("it still goes on, although its time is over: a disk or a command does not answer")
        .help("it is looked at again until it has ended")
}
