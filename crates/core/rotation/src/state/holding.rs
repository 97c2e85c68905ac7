use crate::phase::Hold;
use crate::{Seq, Stamp};

/// A hold with its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    hold: Hold,
    from: Seq,
    /// When this driver first saw the hold.
    since: Stamp,
}

/// Why a rotation is held. A stronger reason replaces a weaker one; the hold keeps its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    held: Option<Held>,
    /// A refused use of the old key was read, and no hold has named it yet.
    refused_use: bool,
}

impl Holding {
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.held.map(|held| held.hold)
    }

    /// Whether the hold began before this entry.
    pub(super) fn began_before(&self, seq: Seq) -> bool {
        self.held.is_some_and(|held| held.from < seq)
    }

    /// When this driver first saw the hold.
    pub(crate) fn since(&self) -> Option<Stamp> {
        self.held.map(|held| held.since)
    }

    pub(crate) fn refused_use(&self) -> bool {
        self.refused_use
    }

    /// Holds, unless a stronger hold exists. Returns whether a new hold began.
    pub(super) fn begin(&mut self, hold: Hold, seq: Seq, now: Stamp) -> bool {
        match &mut self.held {
            Some(held) if held.hold.rank() >= hold.rank() => false,
            Some(held) => {
                held.hold = hold;
                false
            }
            None => {
                self.held = Some(Held { hold, from: seq, since: now });
                true
            }
        }
    }

    /// Ends the hold: its cause is removed.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// The operator continues and knows of the refused use. Returns whether the rotation was held.
    pub(crate) fn dismiss(&mut self) -> bool {
        self.refused_use = false;
        self.held.take().is_some()
    }

    pub(crate) fn read_refused_use(&mut self) {
        self.refused_use = true;
    }

    /// A new driver cannot measure durations from before its start.
    pub(super) fn driver_started(&mut self, now: Stamp) {
        if let Some(held) = &mut self.held {
            held.since = now;
        }
    }
}
