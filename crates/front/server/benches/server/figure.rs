//! Figures as they are printed.

use std::time::Duration;

/// The smallest, the median and the largest of some times.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub min: Duration,
    pub median: Duration,
    pub max: Duration,
}

impl Spread {
    /// Of at least one time.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = times.into_iter().collect();
        sorted.sort_unstable();
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        Self { min, median: sorted[sorted.len() / 2], max }
    }
}

/// The time within which so many per cent of the sorted times are.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// Whether a figure keeps its limit, in a word.
pub fn judged(figure: Duration, limit: Duration) -> &'static str {
    if figure <= limit { "within" } else { "above" }
}

/// How many times the other it is.
pub fn ratio(one: Duration, other: Duration) -> String {
    format!("{:.2} ×", one.as_secs_f64() / other.as_secs_f64())
}

pub fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
