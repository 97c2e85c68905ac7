use keyroll_port::Asked;
use serde::{Deserialize, Serialize};

/// Which intent an effect belongs to, and how long it may still begin. The clocks of two machines are not compared, so the
/// time that the order is under way is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedForm {
    /// The intent's number in the journal.
    pub intent: u64,
    /// How long it may still begin, milliseconds.
    pub left_ms: u64,
}

impl AskedForm {
    /// By the driver's own monotonic clock.
    pub fn of(asked: Asked, now_ms: u64) -> Self {
        Self { intent: asked.intent, left_ms: asked.until_ms.saturating_sub(now_ms) }
    }

    /// By the host's own monotonic clock, read when the order was heard.
    pub fn into_port(self, now_ms: u64) -> Asked {
        Asked { intent: self.intent, until_ms: now_ms.saturating_add(self.left_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_the_same_by_another_clock() {
        let form = AskedForm::of(Asked { intent: 7, until_ms: 5_000 }, 2_000);
        let asked = form.into_port(900_000);
        assert_eq!((asked.intent, asked.until_ms), (7, 903_000));
        let late = AskedForm::of(Asked { intent: 7, until_ms: 5_000 }, 5_001).into_port(100);
        assert_eq!(late.until_ms, 100, "nothing may begin any more");
        let endless = AskedForm { intent: 7, left_ms: u64::MAX }.into_port(100);
        assert_eq!(endless.until_ms, u64::MAX);
    }
}
