use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many sessions of our own probes are remembered.
const OWN_SESSIONS_MAX: usize = 256;

/// The sessions of our own probes, so that they are not taken for a consumer's while they end.
pub(crate) struct Own<K> {
    kept: Mutex<VecDeque<(K, Instant)>>,
    limit: Duration,
}

impl<K: PartialEq> Own<K> {
    /// Servers reuse the keys that identify sessions: after `limit_ms` a key may belong to another client, and is
    /// forgotten.
    pub(crate) fn for_ms(limit_ms: u64) -> Self {
        Self { kept: Mutex::default(), limit: Duration::from_millis(limit_ms) }
    }

    pub(crate) fn remember(&self, session: K) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == OWN_SESSIONS_MAX {
            kept.pop_front();
        }
        kept.push_back((session, Instant::now()));
    }

    pub(crate) fn has(&self, session: &K) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().any(|(own, at)| own == session && at.elapsed() < self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_sessions_are_remembered_whole_and_not_for_ever() {
        let own = Own::for_ms(u64::MAX);
        own.remember((7, 70));
        assert!(own.has(&(7, 70)));
        assert!(!own.has(&(7, 71)), "the same pid with another start is another session");
        for pid in 0..OWN_SESSIONS_MAX {
            own.remember((pid, 1));
        }
        assert!(!own.has(&(7, 70)));
        let brief = Own::for_ms(0);
        brief.remember(7);
        assert!(!brief.has(&7), "after its time it is another's");
    }
}
