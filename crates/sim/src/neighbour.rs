//! A rotation of another secret on the same machine: its own driver, journal, issuer and store; one file and one
//! consumer are the same.

use keyroll_rotation::{ConsumerId, Delivery, FileId, Uptake};

use crate::faults::{Fault, FaultPlan};
use crate::mutant::Mutant;
use crate::run::{Keep, Run};
use crate::scene::{Family, Scene, Size};

/// What one rotation did to what both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Wrote,
    Restarted(u8),
}

/// The file and the consumer that two rotations have in common, as one of them sees them.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) file: FileId,
    consumer: ConsumerId,
    /// When this one last read the file in order to write it.
    pub(crate) read_at: u64,
    /// When the other one last wrote it.
    written_at: u64,
    /// What the other one has still to be told.
    done: Vec<Touch>,
}

impl Shared {
    fn new(file: FileId, consumer: ConsumerId) -> Self {
        Self { file, consumer, read_at: 0, written_at: 0, done: Vec::new() }
    }

    /// Whether the file is still what was read; then it is written.
    pub(crate) fn may_write(&mut self, file: FileId) -> bool {
        if file != self.file {
            return true;
        }
        let same = self.written_at < self.read_at;
        if same {
            self.done.push(Touch::Wrote);
        }
        same
    }

    pub(crate) fn restarted(&mut self, consumer: ConsumerId, slot: u8) {
        if consumer == self.consumer {
            self.done.push(Touch::Restarted(slot));
        }
    }
}

impl Run<'_> {
    /// A rotation of another secret begins now.
    pub(crate) fn neighbour(&mut self) {
        let consumers = (0u16..).zip(&self.world.plan.consumers);
        let mut both = consumers.filter(|(_, it)| it.delivery == Delivery::Push && it.uptake == Uptake::Verb);
        let both = both.find_map(|(at, it)| it.files.first().map(|file| (*file, ConsumerId(at))));
        let Some((file, consumer)) = both.filter(|_| self.world.shared.is_none()) else { return };
        let seed = self.rng.next();
        let mut plan = FaultPlan::of(seed);
        plan.scene = Scene { size: Size::Reduced, family: Family::None, ..plan.scene };
        plan.faults.retain(|planned| !matches!(planned.fault, Fault::Neighbour | Fault::Reboot));
        let keep = Keep { log: self.log.is_some(), ..Keep::default() };
        let mut other = Box::new(Run::new(&plan, &Mutant::NONE, keep, None, self.world.now));
        self.world.shared = Some(Shared::new(file, consumer));
        // The first consumer of every small scene is pushed to and restarted.
        other.world.shared = Some(Shared::new(FileId(0), ConsumerId(0)));
        other.take_over();
        self.neighbour = Some(other);
    }

    /// Lets the other rotation live up to this time.
    pub(crate) fn neighbour_until(&mut self, at: u64) {
        while let Some(other) = self.neighbour.as_mut().filter(|it| it.going() && it.next_at() < at) {
            other.turn();
            let done = other.take_done();
            self.touched(&done);
        }
        if self.neighbour.as_ref().is_some_and(|other| !other.going()) {
            self.neighbour_to_its_end();
        }
    }

    /// What was done here is passed on to the other rotation.
    pub(crate) fn pass_on(&mut self) {
        let done = self.take_done();
        if let Some(other) = &mut self.neighbour {
            other.touched(&done);
        }
    }

    /// The other rotation goes on alone, and its end is judged as any.
    pub(crate) fn neighbour_to_its_end(&mut self) {
        let Some(mut other) = self.neighbour.take() else { return };
        other.drive();
        self.steps += other.steps;
        self.trace ^= other.trace.rotate_left(17);
        if let (Some(log), Some(theirs)) = (&mut self.log, &other.log) {
            log.extend(theirs.iter().map(|line| format!("  the other rotation: {line}")));
        }
        if let Some(violation) = other.violation.take() {
            self.violate(violation.rule, format!("the other rotation: {}", violation.what));
        }
    }

    fn take_done(&mut self) -> Vec<Touch> {
        self.world.shared.as_mut().map(|shared| std::mem::take(&mut shared.done)).unwrap_or_default()
    }

    /// The other rotation wrote the file that both have, or restarted the consumer.
    fn touched(&mut self, done: &[Touch]) {
        for touch in done {
            let Some(shared) = &mut self.world.shared else { return };
            match touch {
                Touch::Wrote => shared.written_at = self.world.now,
                Touch::Restarted(slot) => {
                    let consumer = shared.consumer;
                    for at in 0..self.world.procs.len() {
                        let hit = |it: &crate::world::Proc| it.consumer == Some(consumer) && it.slot == *slot;
                        if self.world.procs.get(at).is_some_and(hit) {
                            self.world.restart(at, false);
                        }
                    }
                }
            }
        }
    }
}
