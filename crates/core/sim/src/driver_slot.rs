//! One driver, and the facts that it heard.

use std::collections::VecDeque;

use keyroll_engine::{Command, Driver, DriverState, Input};
use keyroll_rotation::{Fact, HostId, Outcome};
use tokio::sync::mpsc;

use crate::audit::Shown;
use crate::issuer::Value;
use crate::look::WholeLook;
use crate::mutated::Mutated;

pub(crate) struct DriverSlot {
    pub(crate) driver: Driver<Mutated>,
    pub(crate) epoch: u64,
    pub(crate) alive: bool,
    pub(crate) wake: Option<u64>,
    pub(crate) dirty: bool,
    pub(crate) standing: DriverState,
    /// Facts that it heard and has not written yet.
    pub(crate) heard: VecDeque<Fact>,
    /// The channel for the operator's commands.
    words: mpsc::Sender<Command>,
    /// Actions that the shell has not started yet.
    pub(crate) starting: VecDeque<usize>,
    /// When its shell last read sessions and processes for an enumeration.
    pub(crate) sessions_at: u64,
    pub(crate) enumerated_at: u64,
    /// When its shell last read a list of keys, if that lacks nothing.
    pub(crate) listed_at: Option<u64>,
    /// What the source of truth gave out when its shell last read it for an enumeration.
    pub(crate) truth_read: Option<Value>,
    /// The last complete look that it heard of.
    pub(crate) look: Option<WholeLook>,
    /// When it began to drive.
    pub(crate) started_at: u64,
    /// What its shell saw in the enumeration under way, if that was complete.
    pub(crate) looking: Option<Shown>,
    /// What the complete look showed that it heard of, and the last one that it wrote.
    pub(crate) look_shown: Option<Shown>,
    pub(crate) shown: Option<Shown>,
    /// The hosts without which its shell asks what is asked of all.
    pub(crate) may_be_away: Vec<HostId>,
}

/// Facts that a driver heard and may still write: more than it ever has in progress.
const HEARD_MAX: usize = 64;

impl DriverSlot {
    pub(crate) fn new(
        driver: Driver<Mutated>,
        epoch: u64,
        words: mpsc::Sender<Command>,
        started_at: u64,
    ) -> Self {
        Self {
            driver,
            epoch,
            alive: true,
            wake: None,
            dirty: true,
            standing: DriverState::Driving,
            heard: VecDeque::with_capacity(HEARD_MAX),
            words,
            starting: VecDeque::new(),
            sessions_at: 0,
            enumerated_at: 0,
            listed_at: None,
            truth_read: None,
            look: None,
            started_at,
            looking: None,
            look_shown: None,
            shown: None,
            may_be_away: Vec::new(),
        }
    }

    /// Sends a command to the shell, which reads it at the next poll.
    pub(crate) fn say(&mut self, command: Command) {
        // A shell that has ended reads no command, like a process that has ended.
        drop(self.words.try_send(command));
        self.dirty = true;
    }

    pub(crate) fn told(&mut self, input: &Input) {
        let fact = match input {
            Input::Seen(_, Some(fact)) | Input::Told(fact) => fact.clone(),
            Input::Ended { intent, outcome } => Fact::Ended { intent: *intent, outcome: outcome.clone() },
            Input::Witnessed { intent, ok: false } => {
                Fact::Ended { intent: *intent, outcome: Outcome::Failed { retry: true } }
            }
            Input::Seen(_, None)
            | Input::Witnessed { ok: true, .. }
            | Input::Appended
            | Input::AppendFailed(_)
            | Input::Reloaded(_) => return,
        };
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(fact);
    }
}
