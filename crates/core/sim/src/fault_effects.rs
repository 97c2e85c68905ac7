//! The effects of each fault, besides its effect on the action that it happens at.

use keyroll_engine::Command;
use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Difference, Emergency, Fact, FileId, HostId, ReloadMode, Waived,
};

use crate::faults::Fault;
use crate::issuer::{FOREIGN, OLD};
use crate::process::Served;
use crate::schedule::{Due, Run};
use crate::world::YEAR_MS;

/// The longest time until a process that was forked asks keyroll for itself.
const FORKED_MS_MAX: u64 = 9_000;

impl Run {
    /// Makes a fault happen. Returns whether it changes the action that it happens at.
    pub(crate) fn befall(&mut self, at: usize, fault: Fault) -> bool {
        match fault {
            fault if fault.is_of_order() => return true,
            Fault::LostReply
            | Fault::LostRequest
            | Fault::LateEffect
            | Fault::Stuck
            | Fault::SlowBirth
            | Fault::Failed
            | Fault::FailedForGood
            | Fault::Duplicate
            | Fault::Slow
            | Fault::Blind
            | Fault::Partial
            | Fault::Skipped
            | Fault::CommitLost
            | Fault::CommitUnsure
            | Fault::WitnessDown
            | Fault::Ignored
            | Fault::CrashAfter
            | Fault::CrashDuring => return true,
            Fault::CrashBefore => {
                self.crash(at);
                return true;
            }
            Fault::Reboot => {
                self.reboot();
                return true;
            }
            Fault::Zombie => self.begin_take_over(),
            Fault::JournalDown => {
                self.ledger.down_until = self.world.now + self.rng.between(500, 20_000);
                return true;
            }
            Fault::HostDown => self.host_down(),
            Fault::Drift => self.edit(OLD),
            Fault::ForeignEdit => self.edit(FOREIGN),
            Fault::Restart => self.restart_one(),
            Fault::LateInstance => self.late_instance(),
            Fault::Holder | Fault::Hidden => self.holder(fault == Fault::Hidden),
            Fault::Stranger => self.copy(),
            Fault::OldRevoked if self.audit.new_ended > 0 => {}
            Fault::OldRevoked => self.revoke_old(),
            Fault::Neighbour => self.neighbour(),
            Fault::Edit => self.edit_besides(),
            Fault::StrangeLabel => self.strange_label(),
            Fault::StoreRestored => self.store_restored(),
            Fault::WrongWord => self.wrong_word(at),
            Fault::TruthChanged | Fault::TruthAway => self.disturb_truth(fault),
            Fault::HostFull
            | Fault::JournalFull
            | Fault::Restored
            | Fault::Damaged
            | Fault::Trouble
            | Fault::Masked
            | Fault::Uncarried
            | Fault::WallClock
            | Fault::Exec
            | Fault::Unsearched => self.wear(fault),
            Fault::Abort
            | Fault::Pause
            | Fault::Retry
            | Fault::RollFirst
            | Fault::RevokeNow
            | Fault::PendingLeaked
            | Fault::Waive => self.person(at, fault),
            fault => self.elsewhere(fault),
        }
        false
    }

    /// A fault of another host, of the issuer, or of what is connected to it; or one that lasts.
    fn elsewhere(&mut self, fault: Fault) {
        match fault {
            fault if fault.lasts() => self.begin_lasting(fault),
            Fault::HostAway => self.host_goes(),
            Fault::HostWaived => self.host_waived(),
            Fault::HostRestored => self.host_restored(),
            fault => self.at_issuer(fault),
        }
    }

    /// A declared process restarts by itself.
    fn restart_one(&mut self) {
        let place = self.rng.below(self.world.procs.len() as u64) as usize;
        if self.world.procs.get(place).is_some_and(|proc| !proc.at_rest && proc.consumer.is_some()) {
            self.world.restart(place, false);
        }
    }

    /// An undeclared process starts from a cached value.
    fn holder(&mut self, hides: bool) {
        let now = self.world.now;
        let host = HostId(self.rng.below(2) as u16);
        // One that nobody sees may have taken the new value from a copy.
        let new = self.world.files.iter().copied().find(|value| *value != OLD && *value != FOREIGN);
        let taken = new.filter(|_| hides && self.rng.one_in(2)).unwrap_or(OLD);
        let place = self.world.process(None, 0, host, taken);
        let hidden = if hides { self.rng.between(500, 9_000) } else { 0 };
        if let Some(proc) = self.world.procs.get_mut(place) {
            proc.hidden_until = now + hidden;
        }
    }

    /// Another party copies the old value to a place outside the plan, and also the new value if a file holds it.
    fn copy(&mut self) {
        let now = self.world.now;
        self.world.strangers.push((now, OLD));
        let new = self.world.files.iter().copied().find(|value| *value != OLD && *value != FOREIGN);
        self.world.strangers.extend(new.map(|new| (now + 1, new)));
    }

    /// The issuer ends the old key by itself.
    fn revoke_old(&mut self) {
        let (old, now) = (self.world.old_id(), self.world.now);
        if self.world.issuer.living(&old).is_some_and(|cred| cred.value == OLD) {
            self.world.issuer.end(&old, now);
        }
    }

    /// Faults of disks, backups, memory and clocks.
    fn wear(&mut self, fault: Fault) {
        let now = self.world.now;
        match fault {
            Fault::HostFull => {
                let host = self.rng.below(3) as usize;
                let until = now + self.rng.between(1_000, 12_000);
                if let Some(full) = self.world.host_full_until.get_mut(host) {
                    *full = until;
                }
            }
            Fault::JournalFull => {
                let until = now + self.rng.between(5_000, 50_000);
                (self.ledger.down_until, self.ledger.witness_full_until) = (until, until);
            }
            Fault::Restored | Fault::Damaged => {
                for at in 0..self.slots.len() {
                    if self.slots.get(at).is_some_and(|slot| slot.alive) {
                        self.crash(at);
                    }
                }
                if fault == Fault::Damaged {
                    self.ledger.damaged = true;
                } else if self.ledger.witness.1 > 0 {
                    let kept = self.rng.below(self.ledger.witness.1);
                    self.ledger.put_back_older(kept);
                }
                // A driver that is about to start opens and checks the journal that is there now.
                for _ in 0..std::mem::take(&mut self.starting) {
                    self.begin_take_over();
                }
            }
            Fault::Trouble => {
                let at = self.rng.below(self.world.plan.consumers.len() as u64) as usize;
                self.world.trouble = (at, now + self.rng.between(300, 5_000));
            }
            Fault::Masked => {
                let at = self.rng.below(self.world.procs.len() as u64) as usize;
                let until = now + self.rng.between(1_000, 20_000);
                if let Some(proc) = self.world.procs.get_mut(at).filter(|proc| proc.consumer.is_some()) {
                    proc.masked_until = until;
                }
            }
            Fault::Uncarried => self.world.next_is_uncarried(),
            Fault::WallClock => {
                self.world.wall_jump += if self.rng.one_in(2) { YEAR_MS } else { -YEAR_MS };
            }
            Fault::Exec => self.exec_in_place(),
            Fault::Unsearched => self.leave_unsearched(),
            _ => {}
        }
    }

    /// An event of the operator at the worst moment.
    fn person(&mut self, at: usize, fault: Fault) {
        let escalated = |mode, pending_compromised| Fact::Escalated { mode, pending_compromised };
        match fault {
            Fault::Abort => self.tell(at, Fact::AbortAsked),
            Fault::Pause => {
                self.tell(at, Fact::PauseAsked);
                let ms = self.rng.between(50, 5_000);
                self.later(ms, Due::Resume);
            }
            Fault::Retry => self.tell(at, Fact::Retried),
            Fault::RollFirst => self.tell(at, escalated(Emergency::RollFirst, false)),
            Fault::RevokeNow => self.tell(at, escalated(Emergency::RevokeNow, false)),
            Fault::PendingLeaked => self.tell(at, escalated(Emergency::RollFirst, true)),
            Fault::Waive => self.tell(at, Fact::Waived(Waived::NotVisible(self.world.waivable()))),
            _ => {}
        }
    }

    /// Sends a fact to a driver.
    pub(crate) fn tell(&mut self, at: usize, fact: Fact) {
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.alive) {
            slot.say(Command::Tell(fact));
        }
    }

    /// Every process and every driver ends; services start again from their files.
    pub(crate) fn reboot(&mut self) {
        self.reboots += 1;
        for at in 0..self.slots.len() {
            if self.slots.get(at).is_some_and(|slot| slot.alive) {
                self.crash(at);
            }
        }
        self.world.boot += 1;
        self.world.boot_at = self.world.now;
        for at in 0..self.world.procs.len() {
            if self.world.procs.get(at).is_some_and(|proc| !proc.at_rest) {
                self.world.restart(at, false);
            }
        }
        // A process without a unit is not started again.
        self.world.procs.retain(|proc| proc.consumer.is_some());
    }

    /// Another party edits another variable, a program or a unit file of a consumer that is restarted.
    fn edit_besides(&mut self) {
        let consumers = (0u16..).zip(&self.world.plan.consumers);
        let verbs: Vec<u16> =
            consumers.filter(|(_, it)| it.uptake == ReloadMode::Verb).map(|(at, _)| at).collect();
        let place = self.rng.below(verbs.len() as u64) as usize;
        let Some(at) = verbs.get(place).copied() else { return };
        let digest = self.rng.below(1 << 20);
        let edit = Difference { name: format!("{at}/edit").into(), digest };
        self.world.edits.retain(|(of, _)| *of != ConsumerId(at));
        self.world.edits.push((ConsumerId(at), edit));
    }

    fn strange_label(&mut self) {
        if self.may_be_late() {
            let value = self.world.fresh_value();
            self.world.issuer.strange_label(value, self.world.now);
        }
    }

    /// A backup of the store from before the rotation replaces the store, while no driver runs; the right store comes
    /// back later.
    fn store_restored(&mut self) {
        for at in 0..self.slots.len() {
            if self.slots.get(at).is_some_and(|slot| slot.alive) {
                self.crash(at);
            }
        }
        // A second backup takes no right store's place: the rotation has gone on with the first one.
        if !self.world.store_is_older() {
            self.world.put_back_older_store();
            self.audit.older_from = self.ledger.last();
        }
        let ms = self.rng.between(2_000, 40_000);
        self.later(ms, Due::StoreBack);
    }

    fn host_down(&mut self) {
        let host = self.rng.below(3) as usize;
        let until = self.world.now + self.rng.between(1_000, 20_000);
        if let Some(down) = self.world.host_down_until.get_mut(host) {
            *down = until;
        }
    }

    /// Another party writes a file; now and then the consumer is restarted as well.
    fn edit(&mut self, value: u8) {
        let place = self.rng.below(self.world.files.len() as u64) as usize;
        let Some(holds) = self.world.files.get(place).copied() else { return };
        let Ok(file) = u16::try_from(place).map(FileId) else { return };
        if holds == value || (value == OLD && holds == FOREIGN) {
            return;
        }
        // Only the consumer's own fetch writes a generated file.
        let pulled = self
            .world
            .plan
            .consumers
            .iter()
            .any(|it| it.delivery == Delivery::Fetch && it.files.contains(&file));
        if pulled {
            return;
        }
        self.world.write(file, value, false);
        if value == OLD && self.rng.one_in(2) {
            for at in 0..self.world.procs.len() {
                let Some(id) = self.world.procs.get(at).and_then(|proc| proc.consumer) else { continue };
                let reads = self
                    .world
                    .plan
                    .consumers
                    .get(id.index())
                    .is_some_and(|it| it.files.contains(&file) && it.uptake == ReloadMode::Verb);
                if reads {
                    self.world.restart(at, false);
                }
            }
        }
    }

    /// An autoscaler starts a further instance from the environment of its parent.
    fn late_instance(&mut self) {
        let forks = |id, it: &Consumer| it.uptake == ReloadMode::Rereads && self.world.is_served(id);
        let verbs: Vec<(ConsumerId, HostId)> = self
            .world
            .plan
            .consumers
            .iter()
            .enumerate()
            .filter_map(|(at, it)| u16::try_from(at).ok().map(|id| (ConsumerId(id), it)))
            .filter(|(id, it)| it.uptake == ReloadMode::Verb || forks(*id, it))
            .map(|(id, it)| (id, it.host))
            .collect();
        let place = self.rng.below(verbs.len() as u64) as usize;
        if let Some((consumer, host)) = verbs.get(place).copied() {
            let at = self.world.process(Some(consumer), 0, host, OLD);
            if self.world.is_served(consumer) {
                let asks_at = self.world.now + self.world.quirk_rng.between(50, FORKED_MS_MAX);
                self.world.procs.get_mut(at).into_iter().for_each(|proc| {
                    proc.served = Some(Served::forked(asks_at));
                });
            }
        }
    }
}
