//! What was seen: answers, files, evidence, looks. Nothing is inferred here.

use std::sync::Arc;

use crate::{ConsumerId, EndpointId, Enumeration, FileId, Holds, Incarnation, Proof, Seq, Stamp};

/// Answers in a row at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// How many.
    pub count: u8,
    /// Since the first of them.
    pub since: Option<Stamp>,
}

impl Streak {
    fn count(&mut self, hit: bool, now: Stamp) {
        if !hit {
            *self = Self::default();
            return;
        }
        self.count = self.count.saturating_add(1);
        self.since = self.since.or(Some(now));
    }
}

/// What the issuer said about the last use of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Since when it says the same.
    pub(crate) since: Stamp,
    /// When it last said so.
    pub(crate) last: Stamp,
    /// What it says.
    pub(crate) used: Option<u64>,
}

/// An enumeration, and when it entered the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Stamp,
    /// Its place in the journal.
    pub seq: Seq,
    /// What was seen.
    pub seen: Arc<Enumeration>,
}

/// Everything that was observed, by what it was observed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observations {
    preflight: Option<bool>,
    /// Acceptances of the new version in a row, by endpoint.
    accepted_new: Vec<Streak>,
    /// Acceptances of the old one.
    alive: Vec<Streak>,
    /// Refusals of the old one.
    dead: Vec<Streak>,
    /// The entry that asked, with every consumer restored, for the old key to be seen alive once more.
    alive_asked: Seq,
    files: Vec<Holds>,
    proofs: Vec<(ConsumerId, Proof)>,
    look: Option<Look>,
    /// The last entry about an operation that moves files, instances or the store: a look before it is stale.
    last_mutation: Seq,
    idle: Option<Idle>,
    refusals_read: Option<Stamp>,
    /// A refused use of the old key was read, and no hold has named it yet.
    refused_use: bool,
    residues: Option<u32>,
}

impl Observations {
    pub(super) fn open(endpoints: usize, files: Vec<Holds>) -> Self {
        let streaks = vec![Streak::default(); endpoints];
        Self {
            preflight: None,
            accepted_new: streaks.clone(),
            alive: streaks.clone(),
            dead: streaks,
            alive_asked: 0,
            files,
            proofs: Vec::new(),
            look: None,
            last_mutation: 0,
            idle: None,
            refusals_read: None,
            refused_use: false,
            residues: None,
        }
    }

    pub(crate) fn preflight(&self) -> Option<bool> {
        self.preflight
    }

    pub(crate) fn accepted_new(&self) -> &[Streak] {
        &self.accepted_new
    }

    pub(crate) fn alive(&self) -> &[Streak] {
        &self.alive
    }

    pub(crate) fn dead(&self) -> &[Streak] {
        &self.dead
    }

    pub(crate) fn alive_asked(&self) -> Seq {
        self.alive_asked
    }

    pub(crate) fn files(&self) -> &[Holds] {
        &self.files
    }

    pub(crate) fn file(&self, id: FileId) -> Holds {
        self.files.get(id.index()).copied().unwrap_or(Holds::Unreadable)
    }

    pub(crate) fn proofs(&self) -> &[(ConsumerId, Proof)] {
        &self.proofs
    }

    pub(crate) fn look(&self) -> Option<&Look> {
        self.look.as_ref()
    }

    pub(crate) fn last_mutation(&self) -> Seq {
        self.last_mutation
    }

    pub(crate) fn idle(&self) -> Option<Idle> {
        self.idle
    }

    pub(crate) fn refusals_read(&self) -> Option<Stamp> {
        self.refusals_read
    }

    pub(crate) fn refused_use(&self) -> bool {
        self.refused_use
    }

    pub(crate) fn residues(&self) -> Option<u32> {
        self.residues
    }

    pub(crate) fn judge_preflight(&mut self, passed: bool) {
        self.preflight = Some(passed);
    }

    /// Counts an answer to the new version.
    pub(crate) fn probe_new(&mut self, endpoint: EndpointId, accepted: bool, now: Stamp) {
        if let Some(streak) = self.accepted_new.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
    }

    /// Counts an answer to the old version. `dead`: whether it shows a refusal; `None` if it shows nothing of that.
    pub(crate) fn probe_old(&mut self, endpoint: EndpointId, accepted: bool, dead: Option<bool>, now: Stamp) {
        // A probe of ours moves the issuer's last-used time: what was seen idle until now begins anew.
        if accepted {
            self.idle = None;
        }
        if let Some(streak) = self.alive.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
        if let (Some(streak), Some(dead)) = (self.dead.get_mut(endpoint.index()), dead) {
            streak.count(dead, now);
        }
    }

    pub(crate) fn forget_new_answers(&mut self) {
        self.accepted_new.fill(Streak::default());
    }

    pub(crate) fn forget_alive(&mut self) {
        self.alive.fill(Streak::default());
    }

    pub(crate) fn forget_old_answers(&mut self) {
        self.forget_alive();
        self.dead.fill(Streak::default());
    }

    /// The old key is to be seen alive once more, from this entry on.
    pub(crate) fn ask_alive(&mut self, seq: Seq) {
        self.alive_asked = seq;
        self.forget_alive();
    }

    /// Returns whether the file held something else before.
    pub(crate) fn set_file(&mut self, id: FileId, holds: Holds) -> bool {
        let moved = self.file(id) != holds;
        if let Some(known) = self.files.get_mut(id.index()) {
            *known = holds;
        }
        moved
    }

    pub(crate) fn add_files(&mut self, count: usize) {
        self.files.extend(std::iter::repeat_n(Holds::Old, count));
    }

    /// The new version was abandoned: nothing was seen of the next one, and every file is written anew.
    pub(crate) fn forget_version(&mut self) {
        self.proofs.clear();
        self.files.fill(Holds::Old);
    }

    /// Voids the proofs that match.
    pub(crate) fn void_proofs(&mut self, of: impl Fn(ConsumerId, &Proof) -> bool) {
        self.proofs.retain(|(consumer, proof)| !of(*consumer, proof));
    }

    /// Takes in what runs now in slots of one consumer; what ran there before says nothing any more.
    pub(crate) fn prove(&mut self, consumer: ConsumerId, proofs: &[Proof]) {
        self.void_proofs(|of, known| {
            let same_slot = proofs.iter().any(|proof| proof.slot == known.slot);
            of == consumer && same_slot && !proofs.iter().any(|proof| proof.who == known.who)
        });
        for proof in proofs {
            match self.proofs.iter_mut().find(|(_, known)| known.who == proof.who) {
                Some((_, known)) if known.version == proof.version => merge(known, proof),
                Some((_, known)) => *known = *proof,
                None => self.proofs.push((consumer, *proof)),
            }
        }
    }

    /// What is known of one incarnation.
    pub(crate) fn proof(&self, who: Incarnation) -> Option<&Proof> {
        self.proofs.iter().map(|(_, proof)| proof).find(|proof| proof.who == who)
    }

    /// A complete look voids what was seen of instances that run no more.
    pub(crate) fn enumerate(&mut self, seen: &Enumeration, seq: Seq, now: Stamp) {
        if seen.complete {
            self.void_proofs(|_, proof| !seen.instances.iter().any(|it| it.who == proof.who));
        }
        self.look = Some(Look { at: now, seq, seen: Arc::new(seen.clone()) });
    }

    pub(crate) fn forget_look(&mut self) {
        self.look = None;
    }

    /// The slot that an instance of the last look runs in.
    pub(crate) fn slot_of(&self, who: Incarnation) -> u8 {
        let seen = self.look.iter().flat_map(|look| &look.seen.instances).find(|it| it.who == who);
        seen.map_or(0, |seen| seen.slot)
    }

    pub(crate) fn mutate(&mut self, seq: Seq) {
        self.last_mutation = seq;
    }

    pub(crate) fn read_last_use(&mut self, used: Option<u64>, now: Stamp) {
        let since = self.idle.filter(|idle| idle.used == used).map_or(now, |idle| idle.since);
        self.idle = Some(Idle { since, last: now, used });
    }

    pub(crate) fn forget_idle(&mut self) {
        self.idle = None;
    }

    pub(crate) fn read_refusals(&mut self, now: Stamp) {
        self.refusals_read = Some(now);
    }

    pub(crate) fn forget_refusals(&mut self) {
        self.refusals_read = None;
    }

    pub(crate) fn set_refused_use(&mut self, refused: bool) {
        self.refused_use = refused;
    }

    pub(crate) fn sweep(&mut self, residues: Option<u32>) {
        self.residues = residues;
    }

    /// A new driver counts its own answers and windows.
    pub(crate) fn driver_started(&mut self) {
        self.idle = None;
        self.refusals_read = None;
        self.forget_new_answers();
        self.forget_old_answers();
    }
}

fn merge(known: &mut Proof, proof: &Proof) {
    for (kinds, more) in known.paths.iter_mut().zip(proof.paths) {
        *kinds = kinds.and(more);
    }
    known.other_session = proof.other_session;
}
