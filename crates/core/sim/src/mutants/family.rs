//! Mutants about a key that several consumers share.

use keyroll_rotation::{Aim, Event, Fact, State};

use crate::mutant::Mutant;

/// A consumer that gets a key of its own ends the shared key, behind its own gate.
pub(super) const MEMBER_ENDS: Mutant = Mutant {
    name: "member ends the shared key",
    sentence: "P-120",
    plan: |plan| {
        if plan.aim == Aim::Part {
            plan.aim = Aim::Replace;
        }
    },
    ..Mutant::NONE
};

fn family_unseen(state: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact
        && state.plan().aim == Aim::End
    {
        seen.instances.retain(|instance| instance.consumer.is_none());
        seen.files.clear();
    }
}

/// The rotation does not check whether the consumers of a shared key use keys of their own.
pub(super) const FAMILY_UNSEEN: Mutant = Mutant {
    name: "family unseen",
    sentence: "P-121",
    plan: |plan| {
        if plan.aim == Aim::End {
            plan.consumers.clear();
        }
    },
    event: family_unseen,
    ..Mutant::NONE
};
