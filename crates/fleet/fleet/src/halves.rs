use std::collections::BTreeMap;

use keyroll_port::{Prepared, Proving};
use keyroll_rotation::ConsumerId;

/// Where the first halves of evidence are: the program there keeps them, and ends with its connection.
#[derive(Default)]
pub(crate) struct Halves {
    kept: BTreeMap<(ConsumerId, Option<u8>), Half>,
}

/// A first half.
struct Half {
    /// Its number there.
    number: u64,
    /// The turn of its connection.
    turn: u64,
}

impl Halves {
    /// Remembers on which connection a first half was made. It replaces the one before.
    pub(crate) fn keep(&mut self, of: &Proving<'_>, prepared: Prepared, turn: u64) {
        self.kept.insert((of.consumer, of.slot), Half { number: prepared.number, turn });
    }

    /// The turn of the connection on which this first half was made; `None` if another one replaced it. It is given out
    /// once.
    pub(crate) fn take(&mut self, of: &Proving<'_>, prepared: Prepared) -> Option<u64> {
        let key = (of.consumer, of.slot);
        self.kept.get(&key).filter(|half| half.number == prepared.number)?;
        self.kept.remove(&key).map(|half| half.turn)
    }
}
