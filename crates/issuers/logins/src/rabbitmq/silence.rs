use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection must have been silent before it counts as idle. By default the server makes a connection's
/// statistics every five seconds and gathers them every five seconds. What a connection does in between is in the next
/// statistics.
const SILENCE: Duration = Duration::from_secs(10);
/// How old the statistics may be.
const STATISTICS: Duration = Duration::from_secs(10);
/// The smallest frame that does anything, bytes; a heartbeat has 8.
const FRAME_BYTES_MIN: u64 = 12;

/// How long a connection must be watched before it is known to be silent: its first statistics may come late.
pub(super) fn known_ms() -> u64 {
    u64::try_from((SILENCE + STATISTICS).as_millis()).unwrap_or(u64::MAX)
}

/// Since when each connection has sent nothing but heartbeats. No list shows a channel that is opened for one message
/// and closed again, but the server counts its bytes.
#[derive(Default)]
pub(super) struct Silence {
    kept: Mutex<BTreeMap<String, (u64, Instant)>>,
}

impl Silence {
    /// Takes how many bytes each connection has sent so far. Returns the connections that were silent long enough,
    /// never one that is seen for the first time. Forgets connections that are gone.
    pub(super) fn look<'a>(
        &self,
        received: impl Iterator<Item = (&'a str, u64)>,
        now: Instant,
    ) -> BTreeSet<String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for (name, bytes) in received {
            let since = match kept.get(name) {
                Some((before, since))
                    if (*before..before.saturating_add(FRAME_BYTES_MIN)).contains(&bytes) =>
                {
                    *since
                }
                Some(_) | None => now,
            };
            next.insert(name.to_owned(), (bytes, since));
        }
        *kept = next;
        let long = |since: &Instant| now.saturating_duration_since(*since) >= SILENCE;
        kept.iter().filter(|(_, (_, since))| long(since)).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_sent_nothing_but_heartbeats_for_long_is_silent() {
        let (silence, start) = (Silence::default(), Instant::now());
        let look = |all: &[(&str, u64)], seconds| {
            let silent = silence.look(all.iter().copied(), start + Duration::from_secs(seconds));
            silent.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(look(&[("a", 300), ("b", 300), ("c", 300)], 0), "", "nobody is known yet");
        assert_eq!(look(&[("a", 308), ("b", 300), ("c", 300)], 6), "");
        // One more heartbeat; an opened channel; a new connection with the same name.
        assert_eq!(look(&[("a", 316), ("b", 313), ("c", 200)], 11), "a");
        assert_eq!(look(&[("a", 316), ("b", 313)], 20), "a");
        assert_eq!(look(&[("a", 316), ("b", 313), ("c", 200)], 22), "a b", "who was gone is new");
    }
}
