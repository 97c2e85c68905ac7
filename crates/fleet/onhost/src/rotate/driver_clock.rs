//! The driver's monotonic clock, as the orders of one connection show it: an order that waited on the way too long is
//! recognised, without a comparison of the two machines' times of day.
//!
//! Each order says when it was sent, by the driver's clock. By how much this host's clock is ahead when the order comes is the
//! true difference of the clocks plus the time that the order was under way, so the least difference of a connection is the
//! nearest one. By it a time limit is never earlier than the driver meant it: an order that is in time is never refused.
//!
//! A driver has one order at a time on a connection, and reads its clock right before it sends one: an order that was sent before
//! one that came already is that order once more, as something on the way repeats it.

use keyroll_link::AskedForm;
use keyroll_port::Asked;

/// This host's clock may run faster than the driver's by one part in so many, without a later order counting as late.
const DRIFT_PARTS: i128 = 1_000;

/// What the orders of a connection have shown so far.
#[derive(Debug, Default)]
pub(super) struct DriverClock {
    difference: Option<Difference>,
    /// When the last order was sent, by the driver's clock.
    sent_ms: u64,
}

/// How far this host's clock is ahead of the driver's, and by which order.
#[derive(Debug, Clone, Copy)]
struct Difference {
    /// Milliseconds.
    ahead_ms: i128,
    /// When the order came, by this host's clock.
    at_ms: u64,
}

/// The time at which an order came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// By this host's clock.
    now_ms: u64,
    /// How far that is ahead of the driver's.
    ahead_ms: i128,
    /// It was sent before one that came already.
    is_behind: bool,
}

impl DriverClock {
    /// An order has come. `sent_ms`: by the driver's clock; `now_ms`: by this host's.
    ///
    /// After a late order the difference is measured anew. The driver's clock may have stood still with its machine: then
    /// every later order would be late too. A driver has one order at a time, so no other one waits behind the late one.
    pub(super) fn heard(&mut self, sent_ms: u64, now_ms: u64, asked: Option<AskedForm>) -> Heard {
        let ahead_ms = i128::from(now_ms) - i128::from(sent_ms);
        let seen = Difference { ahead_ms, at_ms: now_ms };
        let least = self.difference.map_or(ahead_ms, |known| known.later(now_ms).min(ahead_ms));
        let is_behind = sent_ms < self.sent_ms;
        let heard = Heard { now_ms, ahead_ms: least, is_behind };
        if least == ahead_ms || (!is_behind && asked.is_some_and(|asked| heard.is_late(asked))) {
            self.difference = Some(seen);
        }
        self.sent_ms = sent_ms.max(self.sent_ms);
        heard
    }
}

impl Difference {
    /// The most that it is at a later time, if this host's clock is the faster one.
    fn later(self, now_ms: u64) -> i128 {
        self.ahead_ms + i128::from(now_ms.saturating_sub(self.at_ms)) / DRIFT_PARTS
    }
}

impl Heard {
    /// The effect with its time limit by this host's clock.
    pub(super) fn here(&self, asked: AskedForm) -> Asked {
        let until_ms = (i128::from(asked.until_ms) + self.ahead_ms).max(0);
        Asked { intent: asked.intent, until_ms: u64::try_from(until_ms).unwrap_or(u64::MAX) }
    }

    /// Whether it was sent before an order that came already: what the driver began after it may rest on how it ended when it
    /// came first.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether the time of the effect was over when the order came.
    pub(super) fn is_late(&self, asked: AskedForm) -> bool {
        self.here(asked).until_ms <= self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A year, milliseconds.
    const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

    fn until(until_ms: u64) -> AskedForm {
        AskedForm { intent: 7, until_ms }
    }

    #[test]
    fn clocks_that_differ_by_a_year_change_nothing() {
        for (sent_ms, now_ms) in [(1_000, 1_000 + YEAR_MS), (1_000 + YEAR_MS, 1_000)] {
            let mut clock = DriverClock::default();
            clock.heard(sent_ms, now_ms, None);
            let asked = until(sent_ms + 5_000);
            // Sent after two seconds, under way for one.
            let heard = clock.heard(sent_ms + 2_000, now_ms + 3_000, Some(asked));
            assert!(!heard.is_late(asked));
            assert_eq!((heard.here(asked).intent, heard.here(asked).until_ms), (7, now_ms + 5_000 + 3));
        }
        let endless = DriverClock::default().heard(0, YEAR_MS, None).here(until(u64::MAX));
        assert_eq!(endless.until_ms, u64::MAX);
        let over = DriverClock::default().heard(YEAR_MS, 0, None).here(until(1_000));
        assert_eq!(over.until_ms, 0);
    }

    #[test]
    fn an_order_that_was_under_way_for_longer_than_its_time_is_late() {
        let mut clock = DriverClock::default();
        clock.heard(1_000, 50_000, None);
        let asked = until(7_000);
        assert!(!clock.heard(2_000, 55_999, Some(asked)).is_late(asked));
        assert!(clock.heard(2_000, 56_010, Some(asked)).is_late(asked));
        // Its time was over before it was sent.
        let mut clock = DriverClock::default();
        assert!(clock.heard(7_000, 50_000, Some(asked)).is_late(asked));
    }

    #[test]
    fn a_slow_first_order_makes_no_later_one_late_and_a_quicker_one_counts_from_then_on() {
        let mut clock = DriverClock::default();
        // Under way for 9 s.
        clock.heard(1_000, 59_000, None);
        let asked = until(12_000);
        let heard = clock.heard(10_500, 59_500, Some(asked));
        assert!(!heard.is_late(asked));
        assert_eq!(heard.here(asked).until_ms, 61_000);
        assert!(clock.heard(11_000, 61_010, Some(asked)).is_late(asked));
    }

    #[test]
    fn after_a_late_order_the_same_difference_is_no_delay() {
        let mut clock = DriverClock::default();
        clock.heard(1_000, 1_000, None);
        // The driver's machine stood still for an hour, and its clock with it.
        let asked = until(7_000);
        assert!(clock.heard(2_000, 3_602_000, Some(asked)).is_late(asked));
        let heard = clock.heard(2_100, 3_602_100, Some(asked));
        assert!(!heard.is_late(asked));
        assert_eq!(heard.here(asked).until_ms, 3_607_000);
    }

    /// Red where a repeated order makes the difference of the clocks larger, or counts as the last one.
    #[test]
    fn an_order_that_comes_again_behind_a_later_one_is_recognised_and_measures_nothing() {
        let mut clock = DriverClock::default();
        let asked = until(7_000);
        assert!(!clock.heard(2_000, 52_000, Some(asked)).is_behind());
        assert!(!clock.heard(2_000, 52_000, None).is_behind(), "sent in the same millisecond");
        assert!(!clock.heard(3_000, 53_000, None).is_behind());
        let again = clock.heard(2_000, 58_000, Some(asked));
        assert!(again.is_behind() && again.is_late(asked));
        assert!(clock.heard(2_999, 58_000, None).is_behind());
        // Under way for half a second.
        let next = clock.heard(8_000, 58_500, None);
        assert!(!next.is_behind());
        assert_eq!(next.here(until(9_000)).until_ms, 59_000 + 5);
    }

    #[test]
    fn a_clock_that_runs_a_little_faster_here_makes_no_order_late() {
        let mut clock = DriverClock::default();
        let mut late = 0;
        // A day of orders, one per second; this host gains 0.4 s in it for each 1,000 s.
        for second in 0..86_400_u64 {
            let (sent_ms, now_ms) = (second * 1_000, second * 1_000 + second * 2 / 5);
            let asked = until(sent_ms + 100);
            late += u32::from(clock.heard(sent_ms, now_ms, Some(asked)).is_late(asked));
        }
        assert_eq!(late, 0);
    }
}
