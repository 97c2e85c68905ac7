use crate::phase::Hold;
use crate::{Seq, Stamp};

/// A hold with its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    hold: Hold,
    from: Seq,
    /// Since when this driver has seen it.
    since: Stamp,
}

/// Why a rotation is held. A stronger reason replaces a weaker one, and the hold goes on since it began.
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

    /// Whether it began before this entry.
    pub(super) fn began_before(&self, seq: Seq) -> bool {
        self.held.is_some_and(|held| held.from < seq)
    }

    /// Since when this driver has seen it.
    pub(crate) fn since(&self) -> Option<Stamp> {
        self.held.map(|held| held.since)
    }

    pub(crate) fn refused_use(&self) -> bool {
        self.refused_use
    }

    /// Holds, unless a stronger reason does. Returns whether the hold begins by it.
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

    /// Its cause is removed.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// The operator goes on, knowing what was read. Returns whether it was held.
    pub(crate) fn dismiss(&mut self) -> bool {
        self.refused_use = false;
        self.held.take().is_some()
    }

    pub(crate) fn read_refused_use(&mut self) {
        self.refused_use = true;
    }

    /// A new driver knows no duration of before.
    pub(super) fn driver_started(&mut self, now: Stamp) {
        if let Some(held) = &mut self.held {
            held.since = now;
        }
    }
}
