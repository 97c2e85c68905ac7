//! The streams of what happens: which are open, and what the last look for all of them saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyroll_app::operator::StatusShown;
use tokio::sync::{broadcast, watch};

/// The most streams at once: each keeps a connection and may read the journal.
const STREAMS_MAX: usize = 16;
/// The most of one token, so that nobody keeps everybody else out.
const STREAMS_OF_TOKEN_MAX: usize = 8;
/// How many looks a stream may be behind. One that is further behind reads the journal itself.
const LOOKS_KEPT: usize = 16;

/// What a look saw, for every stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Something happened, or it works again after a failure.
    Moved(Batch),
    /// The journal was replaced: its newest entry has a lower number than the last one that was seen.
    Replaced,
    /// It could not be read: a problem, as JSON.
    Failed(String),
}

/// What happened up to an entry of the journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The number of the last entry that is included.
    pub(crate) upto: u64,
    /// Acts, as JSON, each with the number of its entry.
    pub(crate) acts: Vec<(u64, String)>,
    /// Rotations as they stand, as JSON.
    pub(crate) rotations: Vec<String>,
}

/// A rotation that has not ended, as it was shown last.
pub(crate) struct Shown {
    pub(crate) row: StatusShown,
    /// What may change without an entry: whether it is driven, and what its driver met.
    pub(crate) mark: String,
    /// As JSON.
    pub(crate) text: String,
}

/// What stood at the last look.
#[derive(Default)]
pub(crate) struct Last {
    /// The number of the newest entry; none before the first look.
    pub(crate) upto: Option<u64>,
    /// The rotations that have not ended, by id.
    pub(crate) open: BTreeMap<String, Shown>,
}

/// The streams.
pub(crate) struct Streams {
    /// Held while the journal is read for one stream or for all: who reads later sees what is newer.
    pub(crate) last: tokio::sync::Mutex<Last>,
    looks: broadcast::Sender<Arc<Look>>,
    /// How many are open, by the id of their token.
    open: Mutex<BTreeMap<String, usize>>,
    /// Told once, when the server stops.
    stop: watch::Sender<bool>,
}

/// Why there is no further stream: so many are open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    OfToken(usize),
    OfAll(usize),
}

/// The right to one stream, until it is dropped.
pub(crate) struct Slot {
    streams: Arc<Streams>,
    token: String,
}

impl Default for Streams {
    fn default() -> Self {
        let (looks, _) = broadcast::channel(LOOKS_KEPT);
        let (stop, _) = watch::channel(false);
        Self { last: tokio::sync::Mutex::default(), looks, open: Mutex::default(), stop }
    }
}

impl Streams {
    /// Another stream for the token with this id.
    pub(crate) fn enter(self: &Arc<Self>, token: &str) -> Result<Slot, Full> {
        let mut open = self.open();
        let (all, its) = (open.values().sum::<usize>(), open.get(token).copied().unwrap_or_default());
        if its >= STREAMS_OF_TOKEN_MAX {
            return Err(Full::OfToken(its));
        }
        if all >= STREAMS_MAX {
            return Err(Full::OfAll(all));
        }
        open.insert(token.to_owned(), its.saturating_add(1));
        Ok(Slot { streams: self.clone(), token: token.to_owned() })
    }

    /// Whether a stream is open.
    pub(crate) fn is_watched(&self) -> bool {
        !self.open().is_empty()
    }

    /// Tells every stream that listens; without one, nobody needs to know.
    pub(crate) fn tell(&self, look: Look) {
        let _ = self.looks.send(Arc::new(look));
    }

    /// Every look from now on.
    pub(crate) fn looks(&self) -> broadcast::Receiver<Arc<Look>> {
        self.looks.subscribe()
    }

    /// Ends every stream: the server stops, and waits for open requests.
    pub(crate) fn end(&self) {
        self.stop.send_replace(true);
    }

    /// Whether the server stops.
    pub(crate) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        let left = open.get(&self.token).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            open.remove(&self.token);
        } else {
            open.insert(self.token.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_open_of_a_token_and_of_all() {
        let streams = Arc::new(Streams::default());
        assert!(!streams.is_watched());
        let mut of_ada: Vec<Slot> = (0..8).map(|_| streams.enter("ada").unwrap()).collect();
        assert_eq!(streams.enter("ada").err(), Some(Full::OfToken(8)));
        let of_bob: Vec<Slot> = (0..8).map(|_| streams.enter("bob").unwrap()).collect();
        assert_eq!(streams.enter("cleo").err(), Some(Full::OfAll(16)));
        drop(of_ada.pop());
        assert_eq!(streams.enter("bob").err(), Some(Full::OfToken(8)));
        let of_cleo = streams.enter("cleo");
        assert!(of_cleo.is_ok());
        assert_eq!(streams.enter("ada").err(), Some(Full::OfAll(16)));
        drop((of_ada, of_bob, of_cleo));
        assert!(!streams.is_watched());
    }
}
