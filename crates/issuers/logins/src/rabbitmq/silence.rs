use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection must have been silent before it counts as idle. Statistics of a connection are made each five
/// seconds and gathered each five seconds, as the server comes; what was done within them is in the next ones.
const SILENCE: Duration = Duration::from_secs(10);
/// How old the statistics may be.
const STATISTICS: Duration = Duration::from_secs(10);
/// A heartbeat's frame is of 8 bytes, and the least one that does anything of 12.
const FRAME_BYTES_MIN: u64 = 12;

/// How long a silent connection is looked at before it is known to be silent: its first statistics may still be missing.
pub(super) fn known_ms() -> u64 {
    u64::try_from((SILENCE + STATISTICS).as_millis()).unwrap_or(u64::MAX)
}

/// Since when connections are seen to send nothing but heartbeats. A channel that is opened for one message and closed
/// again is in no list of channels, but its bytes are counted.
#[derive(Default)]
pub(super) struct Silence {
    kept: Mutex<BTreeMap<String, (u64, Instant)>>,
}

impl Silence {
    /// Takes in what all connections sent so far. Returns those that were silent long enough; none that is seen for the
    /// first time. Who is gone is forgotten.
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
        // A heartbeat more; a channel that was opened; a connection of the same name that began anew.
        assert_eq!(look(&[("a", 316), ("b", 313), ("c", 200)], 11), "a");
        assert_eq!(look(&[("a", 316), ("b", 313)], 20), "a");
        assert_eq!(look(&[("a", 316), ("b", 313), ("c", 200)], 22), "a b", "who was gone is new");
    }
}
