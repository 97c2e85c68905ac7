//! The simulated journal and its witness: append-only, fenced by epoch, with a compare-and-set on the number.

use keyroll_rotation::{Event, Plan, Seq, Stamp};

use crate::calls::Wrote;

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) plan: Plan,
    pub(crate) opened: Stamp,
    pub(crate) entries: Vec<Event>,
    pub(crate) epoch: u64,
    pub(crate) witness: (u64, Seq),
    pub(crate) down_until: u64,
    pub(crate) witness_full_until: u64,
    pub(crate) damaged: bool,
    /// The entries of the right journal, while an older copy is in its place.
    whole: Option<Vec<Event>>,
}

impl Ledger {
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

    /// Whether an entry was written although earlier ones are missing.
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

    pub(crate) fn append(&mut self, seq: Seq, event: &Event) -> Wrote {
        if event.at.epoch < self.epoch {
            return Wrote::Fenced;
        }
        if seq != self.last() + 1 {
            return Wrote::Conflict;
        }
        self.entries.push(event.clone());
        Wrote::Yes
    }

    /// Advances the witness, unless a newer driver did.
    pub(crate) fn bear_witness(&mut self, epoch: u64) -> bool {
        if epoch < self.witness.0 || epoch < self.epoch {
            return false;
        }
        self.witness = (epoch, self.last());
        true
    }
}
