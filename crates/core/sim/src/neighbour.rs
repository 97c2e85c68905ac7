//! A rotation of another secret on the same machine, with a driver, journal, issuer and store of its own. The two
//! rotations share one file and one consumer.

use keyroll_rotation::{ConsumerId, Delivery, FileId, ReloadMode};

use crate::fault_plan::FaultPlan;
use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::scene::{Family, Scene, Size};
use crate::schedule::{Keep, Run};
use crate::shared::{Shared, Touch};
use crate::shell::Shells;

impl Run {
    /// A rotation of another secret begins now.
    pub(crate) fn neighbour(&mut self) {
        let consumers = (0u16..).zip(&self.world.plan.consumers);
        let mut both =
            consumers.filter(|(_, it)| it.delivery == Delivery::Push && it.uptake == ReloadMode::Verb);
        let both = both.find_map(|(at, it)| it.files.first().map(|file| (*file, ConsumerId(at))));
        let alone = self.world.shared.is_none() && self.world.absent().is_empty();
        let Some((file, consumer)) = both.filter(|_| alone) else { return };
        let seed = self.rng.next();
        let mut plan = FaultPlan::of(seed);
        // The two share a consumer that both restart.
        let quirks = plan.scene.quirks.unserved().unstaged().there();
        plan.scene = Scene { size: Size::Reduced, family: Family::None, quirks, ..plan.scene };
        let of_hosts = |fault| matches!(fault, Fault::HostAway | Fault::HostWaived | Fault::HostRestored);
        let unfit = |fault: Fault| {
            matches!(fault, Fault::Neighbour | Fault::Reboot) || of_hosts(fault) || fault.is_of_order()
        };
        plan.faults.retain(|planned| !unfit(planned.fault));
        let keep = Keep { log: self.log.is_some(), ..Keep::default() };
        let mut other = Box::new(Run::new(&plan, &Mutant::NONE, keep, self.world.now));
        self.world.shared = Some(Shared::new(file, consumer));
        // The first consumer of every small scene is pushed to and restarted.
        other.world.shared = Some(Shared::new(FileId(0), ConsumerId(0)));
        other.begin_take_over();
        self.neighbour = Some(other);
    }

    fn take_done(&mut self) -> Vec<Touch> {
        self.world.shared.as_mut().map(|shared| std::mem::take(&mut shared.done)).unwrap_or_default()
    }

    /// The other rotation wrote the shared file, or restarted the shared consumer.
    fn touched(&mut self, done: &[Touch]) {
        for touch in done {
            let Some(shared) = &mut self.world.shared else { return };
            match touch {
                Touch::Wrote => shared.written_at = self.world.now,
                Touch::Restarted(slot) => {
                    let consumer = shared.consumer;
                    for at in 0..self.world.procs.len() {
                        let hit =
                            |it: &crate::process::Proc| it.consumer == Some(consumer) && it.slot == *slot;
                        if self.world.procs.get(at).is_some_and(hit) {
                            self.world.restart(at, false);
                        }
                    }
                }
            }
        }
    }
}

impl Shells {
    /// Lets the other rotation live up to this time.
    pub(crate) fn neighbour_until(&mut self, at: u64) {
        let reboots = self.run().reboots;
        let Some(other) = &mut self.neighbour else { return };
        if self.reboots != reboots {
            self.reboots = reboots;
            other.run().reboot();
        }
        let mut done = Vec::new();
        let early = |run: &Run| run.going() && run.next_at() < at;
        while early(&other.run()) {
            other.turn();
            done.extend(other.run().take_done());
        }
        let ended = !other.run().going();
        self.run().touched(&done);
        if ended {
            self.neighbour_to_its_end();
        }
    }

    /// Tells the other rotation what this one did.
    pub(crate) fn pass_on(&mut self) {
        let Some(other) = &self.neighbour else { return };
        let done = self.run().take_done();
        other.run().touched(&done);
    }

    /// The other rotation goes on alone, and its end is judged as any.
    pub(crate) fn neighbour_to_its_end(&mut self) {
        let Some(mut other) = self.neighbour.take() else { return };
        other.drive();
        let mut other = other.run();
        let mut run = self.run();
        run.steps += other.steps;
        run.trace ^= other.trace.rotate_left(17);
        if let (Some(log), Some(theirs)) = (&mut run.log, &other.log) {
            log.extend(theirs.iter().map(|line| format!("  the other rotation: {line}")));
        }
        if let Some(violation) = other.violation.take() {
            run.violate(violation.rule, format!("the other rotation: {}", violation.what));
        }
    }
}
