//! Mutants that believe a process more than the operator does.

use keyroll_rotation::{
    Consumer, ConsumerId, Event, Fact, InstanceIdentity, Kinds, ObservedInstance, Proof, State,
};

use crate::mutant::Mutant;

fn proofs(state: &State, event: &mut Event, change: impl Fn(&Consumer, bool, &mut Proof)) {
    if let Fact::Proved { consumer, proofs, .. } = &mut event.fact
        && let Some(consumer) = state.plan().consumers.get(consumer.index())
    {
        for proof in proofs {
            change(consumer, proof.who.life.runs(), proof);
        }
    }
}

/// Takes some kinds of evidence for others.
fn counts_as(proof: &mut Proof, seen: Kinds, also: Kinds) {
    for kinds in &mut proof.paths {
        if kinds.has(seen) {
            *kinds = kinds.and(also);
        }
    }
}

fn any_word(state: &State, event: &mut Event) {
    proofs(state, event, |consumer, runs, proof| {
        if runs && !consumer.own_word && !consumer.attributable {
            counts_as(proof, Kinds::TOLD, Kinds::LOADED.and(Kinds::CHECKED));
        }
    });
}

/// The word of a process counts although the operator does not trust it.
pub(super) const ANY_WORD: Mutant =
    Mutant { name: "any word counts", sentence: "P-145", event: any_word, ..Mutant::NONE };

fn word_over_issuer(state: &State, event: &mut Event) {
    proofs(state, event, |consumer, runs, proof| {
        if runs && consumer.own_word && consumer.attributable {
            counts_as(proof, Kinds::TOLD, Kinds::EXERCISED);
        }
    });
}

/// The word of a process counts although the issuer attributes calls.
pub(super) const WORD_OVER_ISSUER: Mutant =
    Mutant { name: "word over issuer", sentence: "P-146", event: word_over_issuer, ..Mutant::NONE };

fn given_is_told(state: &State, event: &mut Event) {
    proofs(state, event, |consumer, runs, proof| {
        if runs && consumer.own_word {
            counts_as(proof, Kinds::DELIVERED, Kinds::TOLD);
        }
    });
}

/// A process that was given the version counts as one that uses it.
pub(super) const GIVEN_IS_TOLD: Mutant =
    Mutant { name: "given as told", sentence: "P-147", event: given_is_told, ..Mutant::NONE };

fn says_nothing(proof: &Proof) -> bool {
    !proof.paths.iter().any(|kinds| kinds.has(Kinds::TOLD))
}

/// Whether the word decides about a process of this consumer.
fn is_believed(state: &State, id: Option<ConsumerId>, life: InstanceIdentity) -> bool {
    let consumer = id.and_then(|id| state.plan().consumers.get(id.index()));
    life.runs() && consumer.is_some_and(|it| it.own_word && !it.attributable)
}

/// Leaves silent processes out where another process of the consumer speaks.
fn silent_unseen(state: &State, event: &mut Event) {
    match &mut event.fact {
        Fact::Proved { consumer, proofs, .. } => {
            let silent = |it: &Proof| is_believed(state, Some(*consumer), it.who.life) && says_nothing(it);
            if !proofs.iter().all(silent) {
                proofs.retain(|it| !silent(it));
            }
        }
        Fact::Enumerated(seen) => {
            let silent = |it: &&ObservedInstance| {
                is_believed(state, it.consumer, it.who.life) && state.proof(it.who).is_none_or(says_nothing)
            };
            let spoken: Vec<_> =
                seen.instances.iter().filter(|it| !silent(it)).map(|it| it.consumer).collect();
            let left_out = seen.instances.iter().filter(silent).filter(|it| spoken.contains(&it.consumer));
            let left_out: Vec<_> = left_out.map(|it| it.who).collect();
            seen.instances.retain(|it| !left_out.contains(&it.who));
            if let Some(sessions) = &mut seen.sessions {
                sessions.retain(|session| session.who.is_none_or(|who| !left_out.contains(&who)));
            }
        }
        _ => {}
    }
}

/// A process that says nothing does not block.
pub(super) const SILENT_UNSEEN: Mutant =
    Mutant { name: "silent unseen", sentence: "P-148", event: silent_unseen, ..Mutant::NONE };

fn word_for_every_path(state: &State, event: &mut Event) {
    proofs(state, event, |consumer, runs, proof| {
        let main = proof.paths.first().copied().unwrap_or_default();
        if runs && consumer.own_word && main.has(Kinds::TOLD) {
            counts_as(proof, Kinds::NONE, Kinds::TOLD);
        }
    });
}

/// The word for the main path counts for the others.
pub(super) const WORD_FOR_EVERY_PATH: Mutant =
    Mutant { name: "word for every path", sentence: "P-149", event: word_for_every_path, ..Mutant::NONE };

fn rest_untrusted(state: &State, event: &mut Event) {
    proofs(state, event, |consumer, runs, proof| {
        if !runs && !consumer.own_word {
            counts_as(proof, Kinds::DELIVERED, Kinds::CHECKED);
        }
    });
}

/// At rest, what the next process would be given counts although the operator does not trust the consumer.
pub(super) const REST_UNTRUSTED: Mutant =
    Mutant { name: "rest untrusted", sentence: "P-150", event: rest_untrusted, ..Mutant::NONE };
