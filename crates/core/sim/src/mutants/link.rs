//! Mutants about orders that links hold up, and about hosts that are put back from snapshots.

use crate::mutant::{Mutant, Mutation};

/// A host carries out an order of a connection that another one took over from.
pub(super) const ORDERS_UNFENCED: Mutant =
    Mutant { name: "order unfenced", sentence: "P-45", mutation: Mutation::OrdersUnfenced, ..Mutant::NONE };

/// A host carries out an order as often as it comes.
pub(super) const ORDERS_REPEATED: Mutant =
    Mutant { name: "order repeated", sentence: "P-95", mutation: Mutation::OrdersRepeated, ..Mutant::NONE };

/// A host carries out an order whenever it comes.
pub(super) const ORDERS_UNTIMELY: Mutant =
    Mutant { name: "order untimely", sentence: "P-95", mutation: Mutation::OrdersUntimely, ..Mutant::NONE };

/// A host that was put back from a snapshot is taken for what it was before.
pub(super) const RESTORED_UNSEEN: Mutant =
    Mutant { name: "snapshot unseen", sentence: "P-67", mutation: Mutation::RestoredUnseen, ..Mutant::NONE };
