use std::sync::Arc;

use keyroll_rotation::{Event, IllegalEvent, State};

use crate::{Input, Poll};

/// What the shell asks of its driver: the driver itself, or one that something watches from outside.
pub trait Drive: Send {
    /// The state after everything that is durable.
    fn snapshot(&self) -> Arc<State>;

    /// The entry that is being appended.
    fn in_flight(&self) -> Option<Event>;

    /// The operator's events that were rejected since the last call.
    fn take_rejected(&mut self) -> Vec<IllegalEvent>;

    /// Nothing of this driver is under way: it may end without leaving an intent in question.
    fn idle(&self) -> bool;

    /// An operation or a look is under way.
    fn carries(&self) -> bool;

    /// No operator is there, and the shell wants to end. Returns whether the protocol has something to do first: then the
    /// driver ends later, and reports that by its standing.
    fn unanswered(&mut self, now_ms: u64) -> bool;

    /// The rotation is held, and the old key has still to be enabled and seen alive.
    fn owes_enabling(&self) -> bool;

    /// Takes in what the shell reports.
    fn on(&mut self, input: Input, now_ms: u64);

    /// What to do now.
    fn poll(&mut self, now_ms: u64) -> Poll;
}
