use std::sync::Arc;

use crate::{ConsumerId, Enumeration, Incarnation, Proof, SharedList};

/// The evidence about each incarnation. Evidence about an earlier process in the same slot is void.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Proofs {
    /// The evidence about the instances of each consumer. An incarnation is in one of the lists only.
    by_consumer: SharedList<Arc<Vec<Proof>>>,
    /// In whose list the evidence about each incarnation is, by its host.
    owners: SharedList<Arc<Vec<(Incarnation, ConsumerId)>>>,
}

impl Proofs {
    /// The evidence about the instances of one consumer.
    pub(crate) fn of_consumer(&self, consumer: ConsumerId) -> &[Proof] {
        self.by_consumer.get(consumer.index()).map(|list| list.as_slice()).unwrap_or_default()
    }

    pub(super) fn of(&self, who: Incarnation) -> Option<&Proof> {
        self.of_consumer(self.owner(who)?).iter().find(|proof| proof.who == who)
    }

    /// Voids the evidence about a consumer, in one slot or in all.
    pub(crate) fn void(&mut self, consumer: ConsumerId, slot: Option<u8>) {
        self.remove(consumer, |proof| slot.is_none_or(|slot| proof.slot == slot));
    }

    /// Records the evidence about the instances that run now in slots of one consumer. What was seen once stays seen.
    pub(crate) fn take_in(&mut self, consumer: ConsumerId, proofs: &[Proof]) {
        self.remove(consumer, |known| {
            let same_slot = proofs.iter().any(|proof| proof.slot == known.slot);
            same_slot && !proofs.iter().any(|proof| proof.who == known.who)
        });
        for proof in proofs {
            // An instance of another consumer may be the same process.
            match self.owner(proof.who) {
                Some(owner) => change(&mut self.by_consumer, owner.index(), |known| renew_one(known, proof)),
                None => {
                    change(&mut self.by_consumer, consumer.index(), |known| known.push(*proof));
                    let owner = (proof.who, consumer);
                    change(&mut self.owners, proof.who.host.index(), |owners| owners.push(owner));
                }
            }
        }
    }

    /// Records the evidence of a look that counts alone, in one slot or in all: what it does not show, it takes away. Returns
    /// whether a slot has only other processes than before.
    pub(crate) fn renew(&mut self, consumer: ConsumerId, slot: Option<u8>, proofs: &[Proof]) -> bool {
        let all = self.of_consumer(consumer);
        let looked = |at: u8| slot.is_none_or(|slot| slot == at);
        let there = |known: &Proof| proofs.iter().any(|proof| proof.who == known.who);
        let stays = |at: u8| all.iter().any(|it| looked(at) && it.slot == at && there(it));
        let known = |at: u8| all.iter().any(|it| it.slot == at);
        let replaced = proofs.iter().any(|proof| known(proof.slot) && !stays(proof.slot));
        self.void(consumer, slot);
        self.take_in(consumer, proofs);
        replaced
    }

    /// Voids the evidence about instances that a complete look does not show any more.
    pub(crate) fn keep_running(&mut self, seen: &Enumeration) {
        let mut running: Vec<Incarnation> = seen.instances.iter().map(|instance| instance.who).collect();
        running.sort_unstable();
        let gone = |proof: &Proof| running.binary_search(&proof.who).is_err();
        let lists = (0..).map(ConsumerId).zip(&self.by_consumer);
        let with_gone = lists.filter(|(_, list)| list.iter().any(gone)).map(|(consumer, _)| consumer);
        for consumer in with_gone.collect::<Vec<_>>() {
            self.remove(consumer, gone);
        }
    }

    /// The new version was abandoned: there is no evidence about the next one.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }

    /// In whose list the evidence about an incarnation is.
    fn owner(&self, who: Incarnation) -> Option<ConsumerId> {
        let there = self.owners.get(who.host.index())?;
        there.iter().find(|(known, _)| *known == who).map(|(_, owner)| *owner)
    }

    /// Removes evidence about instances of one consumer.
    fn remove(&mut self, consumer: ConsumerId, goes: impl Fn(&Proof) -> bool) {
        let gone: Vec<Incarnation> =
            self.of_consumer(consumer).iter().filter(|proof| goes(proof)).map(|proof| proof.who).collect();
        if gone.is_empty() {
            return;
        }
        change(&mut self.by_consumer, consumer.index(), |known| known.retain(|proof| !goes(proof)));
        for who in gone {
            change(&mut self.owners, who.host.index(), |owners| owners.retain(|(known, _)| *known != who));
        }
    }
}

/// Changes one list.
fn change<T: Clone>(lists: &mut SharedList<Arc<Vec<T>>>, at: usize, change: impl FnOnce(&mut Vec<T>)) {
    while lists.len() <= at {
        lists.push(Arc::default());
    }
    if let Some(list) = lists.get_mut(at) {
        change(Arc::make_mut(list));
    }
}

/// Takes in what was seen of an incarnation that is known.
fn renew_one(known: &mut [Proof], proof: &Proof) {
    match known.iter_mut().find(|known| known.who == proof.who) {
        Some(known) if known.version == proof.version => merge(known, proof),
        Some(known) => *known = *proof,
        None => {}
    }
}

fn merge(known: &mut Proof, proof: &Proof) {
    for (kinds, more) in known.paths.iter_mut().zip(proof.paths) {
        *kinds = kinds.and(more);
    }
    known.other_session = proof.other_session;
}
