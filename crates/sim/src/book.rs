//! The simulated journal and its witness: append-only, fenced by epoch, compared and set on the number.

use keyroll_engine::Core;
use keyroll_rotation::{Event, Plan, Seq, Stamp, State};

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    Fenced,
    Conflict,
}

#[derive(Debug)]
pub(crate) struct Book {
    plan: Plan,
    opened: Stamp,
    pub(crate) entries: Vec<Event>,
    pub(crate) epoch: u64,
    pub(crate) witness: (u64, Seq),
    pub(crate) down_until: u64,
}

impl Book {
    pub(crate) fn new(plan: Plan, opened: Stamp) -> Self {
        Self { plan, opened, entries: Vec::new(), epoch: 0, witness: (0, 0), down_until: 0 }
    }

    pub(crate) fn last(&self) -> Seq {
        self.entries.len() as Seq
    }

    pub(crate) fn append(&mut self, seq: Seq, event: &Event) -> Written {
        if event.at.epoch < self.epoch {
            return Written::Fenced;
        }
        if seq != self.last() + 1 {
            return Written::Conflict;
        }
        self.entries.push(event.clone());
        Written::Yes
    }

    /// Brings the witness forward, unless a newer driver did.
    pub(crate) fn bear_witness(&mut self, epoch: u64) -> bool {
        if epoch < self.witness.0 || epoch < self.epoch {
            return false;
        }
        self.witness = (epoch, self.last());
        true
    }

    /// The state that follows from the entries.
    pub(crate) fn replay<C: Core>(&self, core: &C) -> Result<State, String> {
        let mut state =
            State::open(self.plan.clone(), self.opened).map_err(|defect| format!("{defect:?}"))?;
        for event in &self.entries {
            state = core
                .step(&state, event)
                .map_err(|illegal| format!("entry {}: {illegal}: {:?}", state.seq() + 1, event.fact))?
                .0;
        }
        Ok(state)
    }
}
