use std::sync::Arc;

use crate::{ConsumerId, Enumeration, Incarnation, Proof};

/// The evidence about each incarnation. Evidence about an earlier process in the same slot is void.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Proofs {
    /// Copied only by the state that changes it.
    all: Arc<Vec<(ConsumerId, Proof)>>,
}

impl Proofs {
    pub(crate) fn all(&self) -> &[(ConsumerId, Proof)] {
        &self.all
    }

    pub(super) fn of(&self, who: Incarnation) -> Option<&Proof> {
        self.all.iter().map(|(_, proof)| proof).find(|proof| proof.who == who)
    }

    /// Voids the evidence about a consumer, in one slot or in all.
    pub(crate) fn void(&mut self, consumer: ConsumerId, slot: Option<u8>) {
        self.change().retain(|(of, proof)| *of != consumer || slot.is_some_and(|slot| proof.slot != slot));
    }

    /// Records the evidence about the instances that run now in slots of one consumer. What was seen once stays seen.
    pub(crate) fn take_in(&mut self, consumer: ConsumerId, proofs: &[Proof]) {
        let all = self.change();
        all.retain(|(of, known)| {
            let same_slot = proofs.iter().any(|proof| proof.slot == known.slot);
            *of != consumer || !same_slot || proofs.iter().any(|proof| proof.who == known.who)
        });
        for proof in proofs {
            match all.iter_mut().find(|(_, known)| known.who == proof.who) {
                Some((_, known)) if known.version == proof.version => merge(known, proof),
                Some((_, known)) => *known = *proof,
                None => all.push((consumer, *proof)),
            }
        }
    }

    /// Records the evidence of a look that counts alone, in one slot or in all: what it does not show, it takes away. Returns
    /// whether a slot has only other processes than before.
    pub(crate) fn renew(&mut self, consumer: ConsumerId, slot: Option<u8>, proofs: &[Proof]) -> bool {
        let looked = |of: ConsumerId, at: u8| of == consumer && slot.is_none_or(|slot| slot == at);
        let there = |known: &Proof| proofs.iter().any(|proof| proof.who == known.who);
        let stays = |at: u8| self.all.iter().any(|(of, it)| looked(*of, at) && it.slot == at && there(it));
        let known = |at: u8| self.all.iter().any(|(of, it)| *of == consumer && it.slot == at);
        let replaced = proofs.iter().any(|proof| known(proof.slot) && !stays(proof.slot));
        self.change().retain(|(of, known)| !looked(*of, known.slot));
        self.take_in(consumer, proofs);
        replaced
    }

    /// Voids the evidence about instances that a complete look does not show any more.
    pub(crate) fn keep_running(&mut self, seen: &Enumeration) {
        self.change().retain(|(_, proof)| seen.instances.iter().any(|it| it.who == proof.who));
    }

    /// The new version was abandoned: there is no evidence about the next one.
    pub(super) fn abandon(&mut self) {
        self.change().clear();
    }

    fn change(&mut self) -> &mut Vec<(ConsumerId, Proof)> {
        Arc::make_mut(&mut self.all)
    }
}

fn merge(known: &mut Proof, proof: &Proof) {
    for (kinds, more) in known.paths.iter_mut().zip(proof.paths) {
        *kinds = kinds.and(more);
    }
    known.other_session = proof.other_session;
}
