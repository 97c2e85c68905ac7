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
    pub(crate) witness_full_until: u64,
    pub(crate) damaged: bool,
    /// The entries of the right journal, while an older one is in its place.
    whole: Option<Vec<Event>>,
}

impl Book {
    pub(crate) fn new(plan: Plan, opened: Stamp) -> Self {
        Self {
            plan,
            opened,
            entries: Vec::new(),
            epoch: 0,
            witness: (0, 0),
            down_until: 0,
            witness_full_until: 0,
            damaged: false,
            whole: None,
        }
    }

    /// An older copy takes the journal's place: its first `kept` entries.
    pub(crate) fn put_back_older(&mut self, kept: Seq) {
        let whole = self.entries.clone();
        self.entries.truncate(usize::try_from(kept).unwrap_or(0));
        self.whole.get_or_insert(whole);
    }

    /// Whether the witness has seen an entry that the journal does not have.
    pub(crate) fn older(&self) -> bool {
        self.witness.1 > self.last()
    }

    /// Every entry that was ever written, also while an older copy is in the journal's place.
    pub(crate) fn ever(&self) -> &[Event] {
        self.whole.as_deref().unwrap_or(&self.entries)
    }

    /// Whether something is written although entries are missing.
    pub(crate) fn lost(&self) -> bool {
        self.whole.is_some()
    }

    /// The right journal is in its place again.
    pub(crate) fn put_back(&mut self) {
        self.damaged = false;
        if let Some(whole) = self.whole.take() {
            self.entries = whole;
        }
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
