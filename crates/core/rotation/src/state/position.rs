use crate::phase::Phase;
use crate::{Seq, Stamp};

/// Where a rotation is, and since when. The window begins anew under a new driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    phase: Phase,
    entered: Seq,
    since: Stamp,
}

impl Position {
    pub(super) fn open(at: Stamp) -> Self {
        Self { phase: Phase::Preflight, entered: 0, since: at }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The entry at which the phase began.
    pub(crate) fn entered(&self) -> Seq {
        self.entered
    }

    pub(crate) fn since(&self) -> Stamp {
        self.since
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::RolledBack)
    }

    pub(super) fn enter(&mut self, phase: Phase, seq: Seq, now: Stamp) {
        (self.phase, self.entered, self.since) = (phase, seq, now);
    }

    pub(super) fn restart_window(&mut self, now: Stamp) {
        self.since = now;
    }
}
