//! What operations do to the world.

use keyroll_rotation::{ConsumerId, CredId, Effect, FileId, HostId, MintedBy, Op, Outcome, State, Which};

use crate::issuer::{FOREIGN, OLD};
use crate::mutant::Lapse;
use crate::world::World;

impl World {
    /// Carries an operation out. What is true afterwards is true whatever is reported.
    /// `heard`: the answer comes to somebody who can seal what it holds.
    pub(crate) fn carry(&mut self, effect: &Effect, state: &State, epoch: u64, heard: bool) -> Outcome {
        if effect.op.moves() {
            self.moved_at = self.now;
        }
        if let Some(host) = self.host_of(&effect.op) {
            let full = self.host_full_until.get(host.index()).is_some_and(|until| self.now < *until);
            let writes = matches!(effect.op, Op::Deliver(..) | Op::Fetch(_));
            if self.down(host) || (full && writes) {
                return Outcome::Failed { retry: true };
            }
            let seen = self.host_epoch.get_mut(host.index());
            if let Some(seen) = seen {
                if *seen > epoch && self.lapse != Lapse::HostsUnfenced {
                    return Outcome::Failed { retry: false };
                }
                *seen = epoch;
            }
        }
        let old = self.old_id();
        let now = self.now;
        match &effect.op {
            Op::Choose => {
                let value = self.fresh_value();
                self.store.keep(effect.intent, value, None);
            }
            Op::Mint => return self.mint(effect, state, heard),
            Op::Stage => match self.value_of(Which::New, state) {
                Some(value) => self.store.pending = Some(value),
                None => return Outcome::Failed { retry: false },
            },
            Op::Deliver(file, which) => return self.deliver(*file, *which, state),
            Op::Fetch(consumer) => self.fetch(*consumer),
            Op::Apply(consumer, slot, which) => return self.apply(*consumer, *slot, *which, state),
            Op::Promote | Op::Demote => return self.promote(effect.op == Op::Promote, state),
            Op::Disable => {
                if !self.issuer.switch(&old, false, now) {
                    return Outcome::Failed { retry: false };
                }
                self.watch(state);
            }
            Op::Enable => {
                if !self.issuer.switch(&old, true, now) {
                    return Outcome::Failed { retry: false };
                }
                (self.refusals_told, self.watching, self.refusals_missed) = (0, false, false);
            }
            Op::Revoke => self.issuer.end(&old, now),
            Op::EndSessions => {
                for proc in &mut self.procs {
                    if proc.session.is_some_and(|(value, busy)| value == OLD && now >= busy) {
                        proc.session = None;
                    }
                }
            }
            Op::DeleteNew => {
                if let Some(new) = state.new_version() {
                    self.issuer.end(&new.credential.clone(), now);
                }
            }
            Op::DeleteOrphan(credential) | Op::DeleteAbandoned(credential) => {
                self.issuer.end(credential, now);
            }
            // What consumers use is never dropped.
            Op::Retire(Which::Old) if self.store.current == OLD => return Outcome::Failed { retry: false },
            Op::Retire(Which::Old) => self.store.old_retired = true,
            Op::Retire(Which::New) => self.store.pending = None,
        }
        Outcome::Done(None)
    }

    /// As the engine does it: carried out again because its outcome is unknown, the refusals since the first time count.
    fn watch(&mut self, state: &State) {
        if !(state.off_in_doubt() && self.watching)
            && let Some(cred) = self.issuer.creds.first_mut()
        {
            cred.refused = 0;
            (self.refusals_told, self.refusals_missed) = (0, false);
        }
        self.watching = true;
    }

    pub(crate) fn old_id(&self) -> CredId {
        self.issuer.creds.first().map_or_else(|| CredId::new("none"), |cred| cred.id.clone())
    }

    fn host_of(&self, op: &Op) -> Option<HostId> {
        match op {
            Op::Deliver(file, _) => self.plan.files.get(file.index()).copied(),
            Op::Fetch(consumer) | Op::Apply(consumer, ..) => {
                self.plan.consumers.get(consumer.index()).map(|consumer| consumer.host)
            }
            Op::Choose
            | Op::Mint
            | Op::Stage
            | Op::Promote
            | Op::Demote
            | Op::Disable
            | Op::Enable
            | Op::Revoke
            | Op::EndSessions
            | Op::DeleteNew
            | Op::DeleteOrphan(_)
            | Op::DeleteAbandoned(_)
            | Op::Retire(_) => None,
        }
    }

    fn mint(&mut self, effect: &Effect, state: &State, heard: bool) -> Outcome {
        let proposed = state.chosen().and_then(|seq| self.store.kept(seq)).map(|kept| kept.1);
        if self.plan.capabilities.minted_by == MintedBy::Us && proposed.is_none() {
            // Nothing to apply: what was chosen was given up meanwhile.
            return Outcome::Failed { retry: false };
        }
        let value = proposed.unwrap_or_else(|| self.fresh_value());
        let id = self.issuer.mint(value, effect.intent, self.now);
        if heard {
            self.store.keep(effect.intent, value, Some(id.clone()));
        }
        Outcome::Done(Some(id))
    }

    fn deliver(&mut self, file: FileId, which: Which, state: &State) -> Outcome {
        let Some(value) = self.value_of(which, state) else { return Outcome::Failed { retry: false } };
        if self.file(file) == FOREIGN && self.lapse != Lapse::BlindWrite {
            // Compare-and-swap: somebody else's edit is never overwritten.
            return Outcome::Failed { retry: false };
        }
        if self.value_of(Which::New, state).is_none() && self.file(file) != OLD {
            // What it holds cannot be compared with a value that is not in the store.
            return Outcome::Failed { retry: false };
        }
        if self.shared.as_mut().is_some_and(|shared| !shared.may_write(file)) {
            // The whole file is compared: another rotation wrote its own value into it meanwhile.
            return Outcome::Failed { retry: true };
        }
        self.write(file, value, true);
        Outcome::Done(None)
    }

    fn fetch(&mut self, consumer: ConsumerId) {
        let files = self.plan.consumers.get(consumer.index()).map(|it| it.files.clone()).unwrap_or_default();
        let current = self.store.current;
        for file in files {
            self.write(file, current, true);
        }
    }

    /// What a restart of this consumer would make live besides; it is refused as long as the protocol asks for that.
    fn brings(&mut self, consumer: ConsumerId, which: Which, state: &State) -> Option<Outcome> {
        let edits = self.edits.iter().filter(|(of, _)| *of == consumer).map(|(_, edit)| edit.clone());
        let strange: Vec<_> = edits.filter(|edit| !state.accepted().contains(edit)).collect();
        if !strange.is_empty() && state.asks_acceptance(which) {
            if self.lapse != Lapse::EditsUnseen {
                return Some(Outcome::Refused(strange));
            }
            self.brought = true;
        }
        self.edits.retain(|(of, _)| *of != consumer);
        None
    }

    fn apply(&mut self, consumer: ConsumerId, slot: u8, which: Which, state: &State) -> Outcome {
        if let Some(refused) = self.brings(consumer, which, state) {
            return refused;
        }
        for at in 0..self.procs.len() {
            let hit = self
                .procs
                .get(at)
                .is_some_and(|proc| proc.consumer == Some(consumer) && proc.slot == slot && !proc.at_rest);
            if hit {
                self.restart(at, true);
                if let Some(shared) = &mut self.shared {
                    shared.restarted(consumer, slot);
                }
            }
        }
        Outcome::Done(None)
    }

    fn promote(&mut self, forward: bool, state: &State) -> Outcome {
        let Some(new) = self.value_of(Which::New, state) else { return Outcome::Failed { retry: false } };
        let (from, to) = if forward { (OLD, new) } else { (new, OLD) };
        self.store.relabelled = true;
        if self.store.current == to {
            return Outcome::Done(None);
        }
        // Compare-and-swap on the expected current. A version that was abandoned may still be current.
        let abandoned = forward && self.store.current != new;
        if self.store.current != from && !abandoned {
            return Outcome::Failed { retry: false };
        }
        self.set_current(to, true);
        Outcome::Done(None)
    }
}
