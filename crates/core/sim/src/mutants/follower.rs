//! Mutants that forget that a program reads the store by itself.

use keyroll_engine::{Action, Input};
use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Event, Fact, ObservedInstance, Op, Outcome, Phase, Query, State,
    Visibility, Waived, Want, Which,
};

use super::evidence::ALL_KINDS;
use crate::mutant::{Mutant, Mutation};

fn follows_live(state: &State, id: ConsumerId) -> bool {
    state.plan().consumers.get(id.index()).is_some_and(Consumer::follows_live)
}

fn waiver_at_once(state: &State, event: &mut Event) {
    let Fact::Proved { consumer, proofs, .. } = &mut event.fact else { return };
    let waived = state.waived().contains(&Waived::NotVisible(*consumer));
    if waived && follows_live(state, *consumer) {
        proofs.iter_mut().for_each(|proof| proof.paths.fill(ALL_KINDS()));
    }
}

/// A waived program counts as one that has read the store again, before it had the time to do that.
pub(super) const WAIVER_AT_ONCE: Mutant =
    Mutant { name: "waiver counts at once", sentence: "P-164", event: waiver_at_once, ..Mutant::NONE };

fn shown_before(state: &State, event: &mut Event) {
    // Roll takes no look: the last one is from before what is being rolled was given out.
    let Some(look) = state.look().filter(|_| state.phase() == Phase::Roll) else { return };
    let Fact::Proved { consumer, proofs, .. } = &mut event.fact else { return };
    if !follows_live(state, *consumer) {
        return;
    }
    for proof in proofs.iter_mut().filter(|proof| proof.version == Which::New) {
        let held = |it: &ObservedInstance| it.who == proof.who && it.new == Visibility::Yes;
        if look.seen.instances.iter().any(held) {
            proof.paths.fill(ALL_KINDS());
        }
    }
}

/// What a program held before the store gave the new version out once more counts after it.
pub(super) const SHOWN_BEFORE: Mutant =
    Mutant { name: "shown before counts", sentence: "P-162", event: shown_before, ..Mutant::NONE };

/// A Promote that was not seen done counts as one that was never begun: the rollback gives nothing out.
pub(super) const FAILED_PROMOTE_IS_NONE: Mutant = Mutant {
    name: "failed promote is none",
    sentence: "P-163",
    action: |state, action| {
        let Action::Carry { effect, .. } = action else { return None };
        let follows = state.plan().consumers.iter().any(|it| it.delivery == Delivery::Follow);
        let none = effect.op == Op::Demote && !state.promoted() && follows;
        none.then_some(Input::Ended { intent: effect.intent, outcome: Outcome::Done(None) })
    },
    ..Mutant::NONE
};

/// In a rollback, the last look shows a program that holds the new version and not the old one.
fn shows_stale(state: &State) -> bool {
    let look = state.look().filter(|_| state.phase() == Phase::RollingBack);
    look.is_some_and(|look| {
        look.seen.instances.iter().any(|it| {
            let live = it.consumer.is_some_and(|id| follows_live(state, id));
            live && it.new == Visibility::Yes && it.old != Visibility::Yes
        })
    })
}

#[allow(clippy::ptr_arg, reason = "the form of the hook")]
fn look_from_memory(state: &State, wanted: &mut Vec<Want>) {
    for want in wanted.iter_mut().filter(|_| shows_stale(state)) {
        if *want == Want::Ask(Query::Enumerate) {
            *want = Want::Ask(Query::LastUsed);
        }
    }
}

fn stale_look_counts(state: &State, event: &mut Event) {
    if let (Fact::LastUsed(_), Some(look)) = (&event.fact, state.look())
        && shows_stale(state)
    {
        event.fact = Fact::Enumerated((*look.seen).clone());
    }
}

/// A look that sent a program back counts once more, instead of a new one.
pub(super) const STALE_LOOK_COUNTS: Mutant = Mutant {
    name: "stale look counts again",
    sentence: "P-165",
    wants: look_from_memory,
    event: stale_look_counts,
    ..Mutant::NONE
};

/// A program that reads the source of truth when it starts is restarted whatever that gives out.
pub(super) const RESTART_UNASKED: Mutant =
    Mutant { name: "restart unasked", sentence: "P-161", mutation: Mutation::RestartUnasked, ..Mutant::NONE };
