//! Mutants that do not care what another party does at the source of truth.

use keyroll_rotation::{Event, Fact, Outcome, State};

use crate::mutant::{Mutant, Mutation};

/// The new version is given out, whatever the source of truth gives out now.
pub(super) const TRUTH_OVERWRITTEN: Mutant = Mutant {
    name: "truth overwritten",
    sentence: "P-155",
    mutation: Mutation::TruthOverwritten,
    ..Mutant::NONE
};

fn changed_is_done(_: &State, event: &mut Event) {
    if let Fact::Ended { outcome, .. } = &mut event.fact
        && *outcome == Outcome::ChangedElsewhere
    {
        *outcome = Outcome::Done(None);
    }
}

/// An operation that met another party's value counts as done.
pub(super) const CHANGED_IS_DONE: Mutant =
    Mutant { name: "changed elsewhere is done", sentence: "P-155", event: changed_is_done, ..Mutant::NONE };

/// Another party's pending version is taken back.
pub(super) const ANY_PENDING_WITHDRAWN: Mutant = Mutant {
    name: "any pending withdrawn",
    sentence: "P-156",
    mutation: Mutation::AnyPendingWithdrawn,
    ..Mutant::NONE
};

/// The store's label decides what became of a Promote.
pub(super) const LABEL_DECIDES: Mutant =
    Mutant { name: "label decides", sentence: "P-157", mutation: Mutation::LabelDecides, ..Mutant::NONE };

/// A look counts, whatever the source of truth gives out.
pub(super) const TRUTH_UNASKED: Mutant =
    Mutant { name: "truth unasked", sentence: "P-158", mutation: Mutation::TruthUnasked, ..Mutant::NONE };
