//! Memory that is not searched for a while: what looks say of it, and what may not happen beside it.

use std::collections::BTreeSet;

use keyroll_engine::Drive;
use keyroll_rotation::{
    Enumeration, Fact, HostId, Incarnation, SearchLimit, Unsearched, Visibility, Waived, Which, unsearched,
};

use crate::issuer::{FOREIGN, OLD};
use crate::process::Proc;
use crate::schedule::Run;
use crate::world::World;

impl World {
    pub(crate) fn is_blind_to(&self, proc: &Proc) -> bool {
        proc.consumer.is_none() && proc.memory.hides(self.now)
    }

    /// The processes that a look of this moment does not search.
    pub(crate) fn not_searched(&self) -> Vec<Unsearched> {
        let missed = self.procs.iter().filter(|proc| is_missed(proc, self.now));
        let missed = missed.filter(|proc| !self.down(proc.host) && !self.is_away(proc.host));
        let each = missed.filter_map(|proc| {
            Some(Unsearched { who: self.incarnation(proc), limit: proc.memory.unsearched?.2 })
        });
        each.collect()
    }

    /// A look of the journal showed these undeclared holders.
    pub(crate) fn note_holders(&mut self, seen: &Enumeration) {
        let held = seen.instances.iter().filter(|it| it.consumer.is_none() && it.old == Visibility::Yes);
        let held: Vec<Incarnation> = held.map(|it| it.who).collect();
        for at in 0..self.procs.len() {
            let who = self.procs.get(at).map(|proc| self.incarnation(proc));
            if let Some(proc) = self.procs.get_mut(at).filter(|_| who.is_some_and(|who| held.contains(&who)))
            {
                proc.memory.held = true;
            }
        }
    }
}

/// Whether a look of this moment, if it was complete, listed a process without searching it.
fn is_missed(proc: &Proc, at: u64) -> bool {
    let listed = !proc.at_rest && proc.hidden_until <= at && proc.began <= at;
    listed && proc.memory.is_unsearched(at)
}

impl Run {
    /// The memory of a process is not searched for a while: of an instance, of a process that has nothing to do with the
    /// key, or of one that holds the old value nowhere else.
    pub(crate) fn leave_unsearched(&mut self) {
        let now = self.world.now;
        let host = HostId(self.rng.below(2) as u16);
        let (place, delay_ms) = match self.rng.below(4) {
            0 | 1 => (self.rng.below(self.world.procs.len() as u64) as usize, 0),
            2 => {
                let place = self.world.process(None, 0, host, FOREIGN);
                self.world.procs.get_mut(place).into_iter().for_each(|proc| proc.active = false);
                (place, 0)
            }
            _ => {
                let place = self.world.process(None, 0, host, OLD);
                self.world.procs.get_mut(place).into_iter().for_each(|proc| proc.memory.only = true);
                (place, self.rng.below(6_000))
            }
        };
        // A look of this millisecond may have been made already.
        let from = now + 1 + delay_ms;
        let until = from + self.rng.between(1_000, 20_000);
        let limit = if self.rng.one_in(2) { SearchLimit::Size } else { SearchLimit::Time };
        if let Some(proc) = self.world.procs.get_mut(place) {
            let before = proc.memory.unsearched.map(|(from, until, _)| from..until.min(now + 1));
            proc.memory.before.extend(before);
            proc.memory.unsearched = Some((from, until, limit));
        }
    }

    /// The operator raises the limit of the search, or waives the process.
    pub(crate) fn search_or_waive(&mut self, at: usize, who: Incarnation) {
        let place = self.world.procs.iter().position(|proc| self.world.incarnation(proc) == who);
        let (choice, place) = (self.rng.below(3), place.and_then(|at| self.world.procs.get_mut(at)));
        let Some(proc) = place.filter(|_| choice > 0) else {
            let all = self.world.procs.iter_mut().filter(|_| choice == 0);
            all.for_each(|proc| proc.memory.unsearched = None);
            return self.word(at, Fact::Resumed);
        };
        if let Some(id) = proc.consumer.filter(|_| choice == 1) {
            return self.tell(at, Fact::Waived(Waived::NotVisible(id)));
        }
        proc.memory.waived = true;
        proc.waived |= proc.consumer.is_none();
        self.tell(at, Fact::Waived(Waived::Holder(who)));
    }

    /// No key is ended beside an instance, or a process that was seen to hold the old value, that the last look did not
    /// search.
    pub(crate) fn check_searched(&mut self, epoch: u64, what: &str, ended: Which) {
        let Some(seen) = self.look_of(epoch).copied() else { return };
        let look = seen.at;
        let missed = self.world.procs.iter().find(|proc| {
            let consumer = proc.consumer.filter(|id| ended == Which::Old || self.world.is_reached(*id));
            let counts = consumer.is_some() || (proc.memory.held && ended == Which::Old);
            // A look of the millisecond in which it was begun may have shown what was there before, or nothing.
            counts
                && is_missed(proc, look)
                && proc.began < look
                && !proc.memory.waived
                && !self.excused(proc)
                && !seen.misses(proc.host)
        });
        if let Some(proc) = missed {
            let what = format!("{what} although the memory of process {} was not searched", proc.pid);
            self.violate("I4", what);
        }
    }

    /// The undeclared processes that the last look of this driver did not search.
    pub(crate) fn uncounted(&self, epoch: u64) -> BTreeSet<Incarnation> {
        let Some(look) = self.look_of(epoch) else { return BTreeSet::new() };
        let undeclared = self.world.procs.iter().filter(|proc| proc.consumer.is_none());
        let missed = undeclared.filter(|proc| is_missed(proc, look.at) && !look.misses(proc.host));
        missed.map(|proc| self.world.incarnation(proc)).collect()
    }

    /// The point of no return is passed only beside processes that the operator consented to.
    pub(crate) fn check_counted(&mut self, epoch: u64) {
        let more = self.uncounted(epoch).difference(&self.audit.consented).count();
        if more > 0 {
            self.violate(
                "I4",
                format!("decided beside {more} unsearched processes that nobody consented to"),
            );
        }
    }

    /// The operator is asked about exactly the processes that the look did not search, and those of the last consent.
    pub(crate) fn check_asked(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let (epoch, state) = (slot.epoch, slot.driver.snapshot());
        let Some(look) = state.look() else { return };
        let shown: BTreeSet<Incarnation> = unsearched(&state, look).into_keys().collect();
        let (missed, before) = (self.uncounted(epoch), &self.audit.consented);
        let mut undeclared = self.world.procs.iter().filter(|proc| proc.consumer.is_none());
        let untold = missed.difference(&shown).count();
        let invented = undeclared.find(|proc| {
            let who = self.world.incarnation(proc);
            shown.contains(&who) && !missed.contains(&who) && !before.contains(&who)
        });
        if untold > 0 || invented.is_some() {
            let invented = invented.map(|proc| proc.pid);
            let what =
                format!("the operator is not asked about {untold} unsearched processes, but {invented:?}");
            self.violate("I4", what);
        }
    }
}
