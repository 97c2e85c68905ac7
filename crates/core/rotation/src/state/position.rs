//! Where a rotation is, since when, why it is held, and what it owes.

use crate::phase::{Debt, Hold, Phase};
use crate::{Seq, Stamp};

/// The phase with its counts and its window. Every window begins anew under a new driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    phase: Phase,
    entered: Seq,
    since: Stamp,
    hold: Option<Hold>,
    /// The entry at which the hold began, and since when this driver has seen it.
    held_since: (Seq, Stamp),
    failures: u8,
    rerolls: u8,
    debt: Option<Debt>,
}

impl Position {
    pub(super) fn open(at: Stamp) -> Self {
        Self {
            phase: Phase::Preflight,
            entered: 0,
            since: at,
            hold: None,
            held_since: (0, at),
            failures: 0,
            rerolls: 0,
            debt: None,
        }
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

    pub(crate) fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub(crate) fn held_from(&self) -> Seq {
        self.held_since.0
    }

    pub(crate) fn held_at(&self) -> Stamp {
        self.held_since.1
    }

    /// Attempts in this phase that failed.
    pub(crate) fn failures(&self) -> u8 {
        self.failures
    }

    pub(crate) fn debt(&self) -> Option<Debt> {
        self.debt
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::RolledBack)
    }

    pub(super) fn enter(&mut self, phase: Phase, seq: Seq, now: Stamp) {
        (self.phase, self.entered, self.since) = (phase, seq, now);
        self.failures = 0;
    }

    /// Holds the rotation, unless a stronger reason does, or it has ended.
    pub(super) fn hold_for(&mut self, hold: Hold, seq: Seq, now: Stamp) {
        if self.ended() || self.hold.is_some_and(|held| held.rank() >= hold.rank()) {
            return;
        }
        if self.hold.is_none() {
            self.held_since = (seq, now);
            self.failures = 0;
        }
        self.hold = Some(hold);
    }

    /// Ends the hold. Returns whether there was one.
    pub(crate) fn release(&mut self) -> bool {
        self.hold.take().is_some()
    }

    /// The phase's window begins anew.
    pub(crate) fn restart_window(&mut self, now: Stamp) {
        self.since = now;
    }

    /// A new driver knows no duration of before.
    pub(crate) fn driver_started(&mut self, now: Stamp) {
        (self.since, self.held_since.1) = (now, now);
    }

    pub(crate) fn count_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn set_failures(&mut self, failures: u8) {
        self.failures = failures;
    }

    /// Counts another pass through Roll. Returns how many there were since the operator last resumed.
    pub(crate) fn count_reroll(&mut self) -> u8 {
        self.rerolls = self.rerolls.saturating_add(1);
        self.rerolls
    }

    /// An operator resumed: all counts and windows begin anew.
    pub(crate) fn resume(&mut self, now: Stamp) {
        (self.failures, self.rerolls, self.since) = (0, 0, now);
    }

    pub(crate) fn owe(&mut self, debt: Debt) {
        self.debt = Some(debt);
    }

    pub(crate) fn clear_debt(&mut self) {
        self.debt = None;
    }
}
