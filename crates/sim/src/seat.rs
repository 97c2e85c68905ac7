//! One driver with what it was told.

use std::collections::VecDeque;

use keyroll_engine::{Driver, Input, Standing};
use keyroll_rotation::{Fact, Outcome};

use crate::mutant::Mutated;

pub(crate) struct Seat {
    pub(crate) driver: Driver<Mutated>,
    pub(crate) epoch: u64,
    pub(crate) alive: bool,
    pub(crate) wake: Option<u64>,
    pub(crate) dirty: bool,
    pub(crate) standing: Standing,
    /// What it was told and has not written yet.
    pub(crate) heard: VecDeque<Fact>,
}

/// Words that a driver was told and may still write: more than it ever has under way.
const HEARD_MAX: usize = 64;

impl Seat {
    pub(crate) fn new(driver: Driver<Mutated>, epoch: u64) -> Self {
        Self {
            driver,
            epoch,
            alive: true,
            wake: None,
            dirty: true,
            standing: Standing::Driving,
            heard: VecDeque::with_capacity(HEARD_MAX),
        }
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
