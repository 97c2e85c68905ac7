//! Faults that last, and what ends them besides a step outside of keyroll.

use keyroll_rotation::{Consumer, ConsumerId, Delivery, FileId, HostId, ReloadMode};

use crate::absence::Absence;
use crate::faults::Fault;
use crate::issuer::{FOREIGN, OLD};
use crate::mutant::Mutation;
use crate::schedule::Run;

impl Run {
    /// From now on this is wrong.
    pub(crate) fn begin_lasting(&mut self, fault: Fault) {
        match fault {
            Fault::RestartNever => {
                self.world.lasting.restart = self.one_of(|it| it.uptake == ReloadMode::Verb);
            }
            Fault::IdleForever => {
                self.world.lasting.idle = self.one_of(|it| it.uptake != ReloadMode::AtRest);
            }
            Fault::InstanceGone => {
                let gone = self.one_of(|it| it.uptake == ReloadMode::Verb);
                self.world.procs.retain(|proc| gone.is_none() || proc.consumer != gone);
                self.world.lasting.gone = gone;
            }
            Fault::FileUnread => self.world.lasting.unread = self.one_pushed(),
            Fault::FileForeignKept => {
                let file = self.one_pushed();
                file.into_iter().for_each(|file| self.world.write(file, FOREIGN, false));
                self.world.lasting.edited = file;
            }
            Fault::HolderLegit => self.bystander(),
            Fault::HostGone => self.lose_host(),
            Fault::ListNeverWhole => self.world.partial_until = u64::MAX,
            Fault::EnableNever => self.world.lasting.enable = true,
            Fault::DeleteNever => self.world.lasting.delete = true,
            Fault::StoreNever => self.world.lasting.store = true,
            _ => {}
        }
    }

    /// One of the consumers of this kind.
    fn one_of(&mut self, fits: impl Fn(&Consumer) -> bool) -> Option<ConsumerId> {
        let consumers = (0u16..).zip(&self.world.plan.consumers);
        let fitting: Vec<u16> = consumers.filter(|(_, it)| fits(it)).map(|(at, _)| at).collect();
        let place = self.rng.below(fitting.len() as u64) as usize;
        fitting.get(place).copied().map(ConsumerId)
    }

    /// One of the files that keyroll writes for consumers that run.
    fn one_pushed(&mut self) -> Option<FileId> {
        let runs = |it: &Consumer| it.delivery == Delivery::Push && it.uptake != ReloadMode::AtRest;
        let id = self.one_of(runs)?;
        self.world.plan.consumers.get(id.index())?.files.first().copied()
    }

    /// A process that is not declared holds the old value, or a newer one that a file holds, and makes no call.
    fn bystander(&mut self) {
        let host = HostId(self.rng.below(2) as u16);
        let new = self.world.files.iter().copied().find(|value| ![OLD, FOREIGN].contains(value));
        let value = new.filter(|_| self.rng.one_in(2)).unwrap_or(OLD);
        let place = self.world.process(None, 0, host, value);
        if let Some(proc) = self.world.procs.get_mut(place) {
            proc.active = false;
            self.world.lasting.holder = Some(proc.pid);
        }
    }

    fn lose_host(&mut self) {
        let host = self.one_of_the_others().filter(|host| !self.world.is_away(*host));
        let Some(host) = host.filter(|_| self.world.shared.is_none()) else { return };
        let since = self.world.now;
        self.world.leave(host, Absence { since, off: true, restarts: true });
        self.world.lasting.host = Some(host);
    }

    /// The commands of consumers are the right ones by now.
    pub(crate) fn corrected(&mut self, consumers: &[ConsumerId]) {
        let lasting = &mut self.world.lasting;
        let right = lasting.restart.is_some_and(|id| consumers.contains(&id));
        if right && self.mutant.mutation != Mutation::OldCommand {
            lasting.restart = None;
        }
    }
}
