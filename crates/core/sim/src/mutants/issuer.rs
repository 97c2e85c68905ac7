//! Mutants that believe the issuer too early, or ask it too little.

use keyroll_rotation::{
    CredId, Event, Fact, ListedState, Overlap, Phase, ProbeResult, Reconciled, State, Which,
};

use crate::mutant::Mutant;

fn unborn_is_alive(_: &State, event: &mut Event) {
    if let Fact::Probed { version: Which::New, answer, .. } = &mut event.fact {
        *answer = ProbeResult::Alive;
    }
}

/// The new value is used before it was seen accepted.
pub(super) const UNBORN_IS_ALIVE: Mutant =
    Mutant { name: "unborn is alive", sentence: "P-35", event: unborn_is_alive, ..Mutant::NONE };

/// One refusal is death, at once.
pub(super) const DEAD_AT_ONCE: Mutant = Mutant {
    name: "dead at once",
    sentence: "P-16",
    plan: |plan| {
        plan.policy.probes_dead = 1;
        plan.capabilities.death_ms_max = 0;
    },
    ..Mutant::NONE
};

fn outage_is_death(_: &State, event: &mut Event) {
    if let Fact::Probed { version: Which::Old, control, .. } = &mut event.fact {
        *control = None;
    }
}

/// A refusal counts although the control beside it failed.
pub(super) const OUTAGE_IS_DEATH: Mutant =
    Mutant { name: "outage is death", sentence: "P-16", event: outage_is_death, ..Mutant::NONE };

fn gone_is_alive(state: &State, event: &mut Event) {
    if state.phase() != Phase::RollingBack {
        return;
    }
    match &mut event.fact {
        Fact::Probed { version: Which::Old, answer, .. } => *answer = ProbeResult::Alive,
        Fact::Listed { old, .. } => *old = ListedState::On,
        _ => {}
    }
}

/// The rollback begins without seeing the old key alive.
pub(super) const GONE_IS_ALIVE: Mutant =
    Mutant { name: "gone is alive", sentence: "P-17", event: gone_is_alive, ..Mutant::NONE };

/// A credential that a list does not show at once counts as never made.
pub(super) const ABSENT_AT_ONCE: Mutant = Mutant {
    name: "absent at once",
    sentence: "P-40",
    plan: |plan| {
        plan.capabilities.birth_ms_max = 0;
        plan.capabilities.request_ms_max = 0;
    },
    ..Mutant::NONE
};

fn labels_unread(_: &State, event: &mut Event) {
    if let Fact::Listed { labelled, .. } = &mut event.fact {
        labelled.clear();
    }
}

/// A label whose intent was closed does not re-open it.
pub(super) const LABELS_UNREAD: Mutant =
    Mutant { name: "labels unread", sentence: "P-41", event: labels_unread, ..Mutant::NONE };

fn partial_list_is_complete(_: &State, event: &mut Event) {
    match &mut event.fact {
        Fact::Listed { complete, old, .. } => {
            *complete = true;
            if *old == ListedState::NotVisible {
                *old = ListedState::Gone;
            }
        }
        Fact::Reconciled { found, .. } if *found == Reconciled::Unclear => *found = Reconciled::Absent,
        _ => {}
    }
}

/// Half a list proves absence.
pub(super) const PARTIAL_LIST_IS_COMPLETE: Mutant = Mutant {
    name: "partial list is complete",
    sentence: "P-40",
    event: partial_list_is_complete,
    ..Mutant::NONE
};

/// A value that dies after the mint is treated as one that lives on.
pub(super) const GRACE_AS_INDEPENDENT: Mutant = Mutant {
    name: "grace as independent",
    sentence: "P-27",
    plan: |plan| {
        if let Overlap::Grace { .. } = plan.capabilities.overlap {
            plan.capabilities.overlap = Overlap::Independent { max: 0 };
        }
    },
    ..Mutant::NONE
};

/// An exchange without announced downtime.
pub(super) const NONE_AS_INDEPENDENT: Mutant = Mutant {
    name: "none as independent",
    sentence: "P-26",
    plan: |plan| {
        if let Overlap::None = plan.capabilities.overlap {
            plan.capabilities.overlap = Overlap::Independent { max: 0 };
        }
    },
    ..Mutant::NONE
};

/// Every mint is taken for one that replaces what an earlier one made.
pub(super) const EVERY_MINT_REPEATED: Mutant = Mutant {
    name: "every mint repeated",
    sentence: "P-160",
    plan: |plan| plan.capabilities.mint_replaces = true,
    ..Mutant::NONE
};

/// A list that lags is believed at once.
pub(super) const LIST_BELIEVED: Mutant = Mutant {
    name: "list believed at once",
    sentence: "P-12",
    plan: |plan| {
        plan.capabilities.death_ms_max = 0;
        plan.capabilities.request_ms_max = 0;
    },
    ..Mutant::NONE
};

fn new_key_unasked(state: &State, event: &mut Event) {
    let ending = matches!(state.phase(), Phase::Disable | Phase::Soak | Phase::Decide | Phase::Revoke);
    if let Fact::Probed { version: Which::New, answer, .. } = &mut event.fact
        && ending
    {
        *answer = ProbeResult::Alive;
    }
}

/// Nobody asks whether the new key is still accepted before the old one is ended.
pub(super) const NEW_KEY_UNASKED: Mutant =
    Mutant { name: "new key unasked", sentence: "P-144", event: new_key_unasked, ..Mutant::NONE };

fn orphan_by_place(_: &State, event: &mut Event) {
    if let Fact::Reconciled { found: Reconciled::ValueLost(credential), .. } = &mut event.fact {
        *credential = CredId::new("key-0");
    }
}

/// A clean-up takes the first key of the list, whatever its label is.
pub(super) const ORPHAN_BY_PLACE: Mutant =
    Mutant { name: "orphan by place", sentence: "P-50", event: orphan_by_place, ..Mutant::NONE };
