//! Limits wrong tokens. A right token is never held up by wrong ones.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many events may happen in a time.
pub(crate) struct Limit {
    most: usize,
    within: Duration,
    seen: Mutex<VecDeque<Instant>>,
}

impl Limit {
    pub(crate) fn new(most: usize, within: Duration) -> Self {
        Self { most, within, seen: Mutex::default() }
    }

    /// Counts one more; or the time after which another one is accepted.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.front().is_some_and(|at| now.duration_since(*at) >= self.within) {
            seen.pop_front();
        }
        match seen.front() {
            Some(first) if seen.len() >= self.most => {
                Err(self.within.saturating_sub(now.duration_since(*first)))
            }
            _ => {
                seen.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_in_a_time() {
        let limit = Limit::new(2, Duration::from_secs(60));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(limit.count(at(0)), Ok(()));
        assert_eq!(limit.count(at(10)), Ok(()));
        assert_eq!(limit.count(at(20)), Err(Duration::from_secs(40)));
        assert_eq!(limit.count(at(60)), Ok(()));
        assert_eq!(limit.count(at(61)), Err(Duration::from_secs(9)));
        assert_eq!(limit.seen.lock().unwrap().len(), 2);
    }
}
