//! Mutants that change the order of intent, entry and effect, or what a missing answer means.

use keyroll_engine::{Action, AppendError, Input};
use keyroll_rotation::{
    Delivery, Event, Fact, Op, Outcome, Phase, Plan, ProbeResult, Reconciled, State, Want,
};

use crate::mutant::{Mutant, Mutation};

/// An effect begins although its intent is not in the journal.
pub(super) const EFFECT_WITHOUT_INTENT: Mutant = Mutant {
    name: "effect without intent",
    sentence: "P-06",
    input: |input| {
        if let Input::AppendFailed(AppendError::Unavailable) = input {
            *input = Input::Appended;
        }
    },
    ..Mutant::NONE
};

/// The witness is not advanced.
pub(super) const NO_WITNESS: Mutant = Mutant {
    name: "no witness",
    sentence: "P-48",
    action: |_, action| match action {
        Action::Witness { intent } => Some(Input::Witnessed { intent: *intent, ok: true }),
        _ => None,
    },
    ..Mutant::NONE
};

/// A driver that was replaced goes on.
pub(super) const FENCE_IGNORED: Mutant = Mutant {
    name: "fence ignored",
    sentence: "P-45",
    input: |input| {
        if let Input::AppendFailed(AppendError::Fenced) = input {
            *input = Input::Appended;
        }
    },
    ..Mutant::NONE
};

/// A commit in doubt is sent again.
pub(super) const UNSURE_IS_FAILURE: Mutant = Mutant {
    name: "unsure is failure",
    sentence: "P-37",
    input: |input| {
        if let Input::AppendFailed(AppendError::Unsure) = input {
            *input = Input::AppendFailed(AppendError::Unavailable);
        }
    },
    ..Mutant::NONE
};

fn lost_is_failure(_: &State, event: &mut Event) {
    if let Fact::Ended { outcome, .. } = &mut event.fact
        && *outcome == Outcome::Unknown
    {
        *outcome = Outcome::Failed { retry: true };
    }
}

/// A lost answer is a failure: the operation is carried out again.
pub(super) const LOST_IS_FAILURE: Mutant =
    Mutant { name: "lost is failure", sentence: "P-39", event: lost_is_failure, ..Mutant::NONE };

fn lost_is_done(state: &State, event: &mut Event) {
    if let Fact::Ended { intent, outcome } = &mut event.fact
        && *outcome == Outcome::Unknown
        && state.intents().iter().any(|open| open.seq == *intent && open.op != Op::Mint)
    {
        *outcome = Outcome::Done(None);
    }
}

/// A lost answer is a success.
pub(super) const LOST_IS_DONE: Mutant =
    Mutant { name: "lost is done", sentence: "P-38", event: lost_is_done, ..Mutant::NONE };

fn reconcile_assumes_absent(_: &State, event: &mut Event) {
    if let Fact::Reconciled { found, .. } = &mut event.fact {
        *found = Reconciled::Absent;
    }
}

/// An operation is not reconciled: it is carried out again.
pub(super) const RECONCILE_ASSUMES_ABSENT: Mutant = Mutant {
    name: "reconcile assumes absent",
    sentence: "P-39",
    event: reconcile_assumes_absent,
    ..Mutant::NONE
};

fn reconcile_assumes_done(state: &State, event: &mut Event) {
    if let Fact::Reconciled { intent, found } = &mut event.fact
        && state.intents().iter().any(|open| open.seq == *intent && open.op != Op::Mint)
    {
        *found = Reconciled::Executed(None);
    }
}

/// An operation is not reconciled: it was carried out.
pub(super) const RECONCILE_ASSUMES_DONE: Mutant = Mutant {
    name: "reconcile assumes done",
    sentence: "P-38",
    event: reconcile_assumes_done,
    ..Mutant::NONE
};

fn drivers_are_one(_: &State, event: &mut Event) {
    if event.at.epoch > 1 && event.fact == Fact::DriverStarted {
        event.fact = Fact::Clock;
    }
    (event.at.epoch, event.at.boot) = (1, event.at.epoch);
}

/// A new driver goes on as if it were the old one.
pub(super) const DRIVERS_ARE_ONE: Mutant =
    Mutant { name: "drivers are one", sentence: "P-51", event: drivers_are_one, ..Mutant::NONE };

/// Everything is rolled at once.
pub(super) const NO_CANARY: Mutant = Mutant {
    name: "no canary",
    sentence: "P-65",
    plan: |plan| plan.policy.parallel_max = 99,
    ..Mutant::NONE
};

fn enable_forgotten(_: &State, wanted: &mut Vec<Want>) {
    wanted.retain(|want| *want != Want::Do(Op::Enable));
}

/// A pause leaves the old key disabled.
pub(super) const ENABLE_FORGOTTEN: Mutant =
    Mutant { name: "enable forgotten", sentence: "P-13", wants: enable_forgotten, ..Mutant::NONE };

/// A new driver does not wait for requests that are still under way.
pub(super) const LATE_REQUESTS_UNAWAITED: Mutant = Mutant {
    name: "late requests unawaited",
    sentence: "P-47",
    plan: |plan| plan.capabilities.request_ms_max = 0,
    ..Mutant::NONE
};

/// The host accepts operations of a driver that was replaced, and that driver goes on.
pub(super) const HOST_UNFENCED: Mutant =
    Mutant { name: "host unfenced", sentence: "P-45", mutation: Mutation::HostsUnfenced, ..Mutant::NONE };

/// A value that we choose goes to the issuer unsealed.
pub(super) const CHOICE_UNSEALED: Mutant = Mutant {
    name: "choice unsealed",
    sentence: "P-07",
    action: |_, action| assumed(action, |op| *op == Op::Choose),
    ..Mutant::NONE
};

/// Promote counts as done when it was intended.
pub(super) const PROMOTE_ASSUMED: Mutant = Mutant {
    name: "promote assumed",
    sentence: "P-09",
    action: |_, action| assumed(action, |op| *op == Op::Promote),
    ..Mutant::NONE
};

fn assumed(action: &Action, which: fn(&Op) -> bool) -> Option<Input> {
    match action {
        Action::Carry { effect, .. } if which(&effect.op) => {
            Some(Input::Ended { intent: effect.intent, outcome: Outcome::Done(None) })
        }
        _ => None,
    }
}

fn fetch_as(plan: &mut Plan, files: bool) {
    for consumer in plan.consumers.iter_mut().filter(|consumer| consumer.delivery == Delivery::Fetch) {
        consumer.delivery = Delivery::Push;
        if !files {
            consumer.files.clear();
        }
    }
}

/// A generated copy is written like any other.
pub(super) const COPY_WRITTEN: Mutant = Mutant {
    name: "generated copy written",
    sentence: "P-08",
    plan: |plan| fetch_as(plan, true),
    ..Mutant::NONE
};

/// A pull unit that fails is rolled back alone.
pub(super) const PULL_BACK_ALONE: Mutant = Mutant {
    name: "pull rolled back alone",
    sentence: "P-10",
    plan: |plan| fetch_as(plan, false),
    ..Mutant::NONE
};

/// A driver itself asserts that the new value is accepted.
pub(super) const DRIVER_ASSERTS: Mutant = Mutant {
    name: "driver asserts",
    sentence: "P-36",
    alter: |state, action| {
        if let (Phase::Probe, Action::Append { event, .. }) = (state.phase(), action)
            && let Fact::Probed { answer, .. } = &mut event.fact
        {
            *answer = ProbeResult::Alive;
        }
    },
    ..Mutant::NONE
};

/// A journal that is older than its witness is driven.
pub(super) const WITNESS_UNREAD: Mutant =
    Mutant { name: "witness unread", sentence: "P-49", mutation: Mutation::WitnessUnread, ..Mutant::NONE };

/// A file is written whatever it holds.
pub(super) const BLIND_WRITE: Mutant =
    Mutant { name: "blind write", sentence: "P-42", mutation: Mutation::BlindWrite, ..Mutant::NONE };

/// A store that was put back from a backup is believed.
pub(super) const STORE_UNASKED: Mutant =
    Mutant { name: "store unasked", sentence: "P-86", mutation: Mutation::StoreUnasked, ..Mutant::NONE };

/// A restart activates a change that is not accepted.
pub(super) const EDITS_UNSEEN: Mutant =
    Mutant { name: "edits unseen", sentence: "P-74", mutation: Mutation::EditsUnseen, ..Mutant::NONE };

/// What a process shows before it has begun anew counts for the version that it will have.
pub(super) const GENERATION_UNSEEN: Mutant = Mutant {
    name: "generation unseen",
    sentence: "P-154",
    mutation: Mutation::GenerationUnseen,
    ..Mutant::NONE
};

/// A look counts although an operation went on meanwhile.
pub(super) const OVERLAP_COUNTS: Mutant = Mutant {
    name: "overlapped look counts",
    sentence: "P-73",
    besides: |input| match input {
        Input::Seen(_, Some(fact)) => Some(Input::Told(fact.clone())),
        _ => None,
    },
    ..Mutant::NONE
};
