//! How far a paced roll has come, and what in it began too early.
//!
//! What has arrived, and what is watched, is read from the journal: the world cannot know it. An instance that proved the new
//! value may have been restarted on the old one a moment later, and a consumer that is waived proves nothing; the protocol
//! means that the step was proven, not that it is still true. How the roll is paced is read from the world's plan, which no
//! mutant changes, and time from the entries.

use keyroll_rotation::{
    Canary, Consumer, ConsumerId, Delivery, Event, Fact, Hold, HostId, OldKey, Op, Overlap, Phase, Plan,
    Reason, ReloadMode, RollPolicy, Stamp, State, Unit, UnitStep, Which,
};

/// What is known about one unit.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Since when it has been watched.
    watched: Option<Stamp>,
    /// Since when it has been proven as far as a canary must be.
    shown: Option<Stamp>,
    /// It settled while it had gone or its host had left: nothing was proven.
    unseen: bool,
    /// Why it should not have begun, or not have gone on to its next slot.
    early: Option<String>,
}

/// The pace of one rotation, entry by entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    units: Vec<Progress>,
    /// So many consumers were there at the beginning. One that is adopted later is no canary.
    first: Option<usize>,
    /// The hosts that have left: nothing on them is moved.
    pub(crate) left: Vec<HostId>,
    /// The consumers that have gone: nothing of them is moved but files.
    pub(crate) gone: Vec<ConsumerId>,
    /// When the last hold ended that did not ask about the canary: it is watched anew from then on.
    freed: Option<Stamp>,
    /// The canary was watched for long enough, and the operator said to go on after that.
    baked: bool,
    answered: bool,
    passed: bool,
    /// Nobody was there who might be the canary.
    unwatched: bool,
    /// When a unit last arrived.
    last: Option<Stamp>,
}

/// One durable entry, with the states before and after it.
struct Entry<'a> {
    plan: &'a Plan,
    roll: RollPolicy,
    event: &'a Event,
    before: &'a State,
    after: &'a State,
    left: Vec<HostId>,
    gone: Vec<ConsumerId>,
}

impl Entry<'_> {
    /// The operator lets the canary pass.
    fn answers(&self) -> bool {
        self.event.fact == Fact::Resumed && self.before.hold().is_some_and(asks)
    }

    /// A hold that does not ask about the canary ended.
    fn frees(&self) -> bool {
        self.before.hold().is_some_and(|hold| !asks(hold)) && self.after.hold().is_none()
    }

    fn arrives(&self) -> bool {
        let pairs = self.after.units().iter().zip(self.before.units()).zip(&self.plan.consumers);
        let is_gone = |at: usize| self.gone.iter().any(|id| id.index() == at);
        let mut there =
            pairs.enumerate().filter(|(at, (_, it))| !self.left.contains(&it.host) && !is_gone(*at));
        there.any(|(_, ((after, before), _))| arrived(after) && !arrived(before))
    }

    /// Nothing is paced: everything is moved as fast as it can be, because the old key leaked, or is not alive any more.
    fn is_urgent(&self) -> bool {
        let alone = match self.plan.capabilities.overlap {
            // Nobody waits any longer when a grace runs out: the protocol's own tests say when.
            Overlap::None | Overlap::Grace { .. } => true,
            Overlap::Independent { .. } | Overlap::TwoSlots => self.after.old_key() == OldKey::Ended,
        };
        alone || self.after.emergency().is_some()
    }

    fn has_arrived(&self, at: usize) -> bool {
        self.after.units().get(at).is_some_and(arrived)
    }

    /// Whether this unit begins, or goes on to its next slot.
    fn moves(&self, at: usize) -> Option<Moves> {
        let after = self.after.units().get(at).filter(|unit| forward(unit))?;
        let Some(before) = self.before.units().get(at).filter(|unit| forward(unit)) else {
            return Some(Moves::Begins);
        };
        match (before.stage, after.stage) {
            (UnitStep::Proving(one), UnitStep::Applying(other)) if one != other => Some(Moves::GoesOn),
            _ => None,
        }
    }

    /// The other units that are being moved or have failed, with their consumers.
    fn busy(&self, at: usize) -> impl Iterator<Item = (&Unit, &Consumer)> {
        let pairs = self.after.units().iter().zip(&self.plan.consumers).enumerate();
        pairs.filter_map(move |(other, pair)| (other != at && is_busy(pair.0)).then_some(pair))
    }

    /// Why a unit may not begin, whatever the canary and the pauses say. Before the canary has passed, only those count in the waves
    /// of which one is it.
    fn out_of_turn(&self, at: usize, counts: impl Fn(usize) -> bool) -> Option<String> {
        let of = self.plan.consumers.get(at)?;
        let mut pairs = self.after.units().iter().zip(&self.plan.consumers).enumerate();
        let is_earlier =
            |unit: &Unit, it: &Consumer| pulls(it) == pulls(of) && it.wave < of.wave && !arrived(unit);
        let earlier = pairs
            .find(|(place, (unit, it))| counts(*place) && is_earlier(unit, it))
            .map(|(_, (_, it))| it.wave);
        if let Some(wave) = earlier {
            return Some(format!("before wave {wave} has arrived"));
        }
        if self.after.units().iter().any(|it| it.toward == Which::Old && it.stage != UnitStep::Settled) {
            return Some("while a unit is rolled back alone".to_owned());
        }
        let mut hosts: Vec<HostId> = self.busy(at).map(|(_, it)| it.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let more = !hosts.contains(&of.host) && hosts.len() >= usize::from(self.roll.hosts_max);
        more.then(|| format!("beside units on {} hosts", hosts.len()))
    }
}

/// What a unit does at an entry.
enum Moves {
    Begins,
    GoesOn,
}

impl Pace {
    /// An entry is durable.
    pub(crate) fn take_in(&mut self, plan: &Plan, event: &Event, before: &State, after: &State) {
        let Some(roll) = plan.policy.roll else { return };
        self.first.get_or_insert(before.units().len());
        let entry =
            Entry { plan, roll, event, before, after, left: self.left.clone(), gone: self.gone.clone() };
        self.units.resize_with(after.units().len(), Progress::default);
        self.begin_anew(&entry);
        let canary = self.canary(plan, roll);
        if !canary.is_empty() && std::mem::take(&mut self.unwatched) {
            // Who might be the canary is back: nobody was watched.
            (self.baked, self.answered, self.passed) = (false, false, false);
        }
        self.unwatched |= canary.is_empty() && !self.passed;
        // The others begin without one.
        self.passed |= self.unwatched;
        // What was watched until this entry counts, also if this entry ends the watching.
        let stands = |at: &usize| after.units().get(*at).is_some_and(|unit| unit.toward == Which::New);
        self.baked |= canary.iter().all(stands) && self.is_baked(&canary, &entry);
        self.show(&entry);
        self.baked |= self.is_baked(&canary, &entry);
        self.answered |= entry.answers();
        // It was moved while nothing was paced: nobody watches it afterwards.
        self.passed |= entry.is_urgent() && canary.iter().all(|at| entry.has_arrived(*at));
        if self.baked && (self.answered || !roll.ask) && !self.passed {
            self.passed = true;
        }
        if entry.arrives() {
            self.last = Some(event.at);
        }
        if after.phase() != Phase::Roll {
            self.last = None;
        }
        for at in 0..self.units.len() {
            let early = self.judged(at, &canary, &entry);
            let on_its_way = after.units().get(at).is_some_and(forward);
            if (!on_its_way || early.is_some())
                && let Some(unit) = self.units.get_mut(at)
            {
                unit.early = early;
            }
        }
        self.watch(&entry);
    }

    /// The units of the canary, by the plan: of those that were there at the beginning, have not gone and are on no host that has
    /// left.
    pub(crate) fn canary(&self, plan: &Plan, roll: RollPolicy) -> Vec<usize> {
        let all = plan.consumers.iter().enumerate().filter(|(at, it)| self.is_there(*at, it));
        let Some((first, of)) = all.clone().min_by_key(|(_, it)| (pulls(it), it.wave)) else {
            return Vec::new();
        };
        let beside = |it: &Consumer| (it.host, pulls(it), it.wave) == (of.host, pulls(of), of.wave);
        match roll.canary {
            Canary::Instance | Canary::Consumer => vec![first],
            Canary::Host => all.filter(|(_, it)| beside(it)).map(|(at, _)| at).collect(),
        }
    }

    /// It was there at the beginning, has not gone and is on no host that has left.
    fn is_there(&self, at: usize, consumer: &Consumer) -> bool {
        let is_gone = self.gone.iter().any(|id| id.index() == at);
        at < self.first.unwrap_or_default() && !self.left.contains(&consumer.host) && !is_gone
    }

    fn may_be_canary(&self, at: usize, entry: &Entry) -> bool {
        entry.plan.consumers.get(at).is_some_and(|it| self.is_there(at, it))
    }

    /// Why an operation should not have been begun, if one of the units that it belongs to began too early.
    pub(crate) fn early(&self, plan: &Plan, state: &State, op: &Op) -> Option<&str> {
        if state.phase() != Phase::Roll || state.emergency().is_some() {
            return None;
        }
        let pairs = self.units.iter().zip(state.units()).zip(&plan.consumers).enumerate();
        let mut owners = pairs.filter(|(at, ((_, unit), consumer))| match op {
            Op::Deliver(file, Which::New) => {
                unit.stage == UnitStep::Delivering && consumer.files.contains(file)
            }
            Op::Apply(id, _, Which::New) | Op::Fetch(id) => id.index() == *at,
            _ => false,
        });
        owners.find_map(|(_, ((progress, _), _))| progress.early.as_deref())
    }

    /// Under a new driver everything is watched and waited for anew; after a hold, the canary.
    fn begin_anew(&mut self, entry: &Entry) {
        let now = Some(entry.event.at);
        if entry.event.fact == Fact::DriverStarted {
            let anew = |since: &mut Option<Stamp>| *since = since.and(now);
            for unit in &mut self.units {
                anew(&mut unit.watched);
                anew(&mut unit.shown);
            }
            anew(&mut self.last);
            anew(&mut self.freed);
        }
        if entry.frees() {
            self.freed = now;
        }
    }

    fn is_baked(&self, canary: &[usize], entry: &Entry) -> bool {
        let long = |since: Stamp| entry.event.at.at_least(entry.roll.bake_ms, since);
        let shown = |at: &usize| self.units.get(*at).and_then(|unit| unit.shown).is_some_and(long);
        self.freed.is_none_or(long) && canary.iter().all(shown)
    }

    /// Which units are proven as far as a canary must be.
    fn show(&mut self, entry: &Entry) {
        let pairs = entry.after.units().iter().zip(&entry.plan.consumers);
        for (id, (progress, (unit, consumer))) in (0..).map(ConsumerId).zip(self.units.iter_mut().zip(pairs))
        {
            let settles = arrived(unit) && !entry.before.units().get(id.index()).is_some_and(arrived);
            let away = entry.after.has_left(consumer.host) || entry.after.has_gone(id);
            progress.unseen = arrived(unit) && (progress.unseen || (settles && away));
            let whole = consumer.uptake != ReloadMode::Verb || unit.slots == 0;
            let far = unit.watched && (whole || holds_slots(entry.roll));
            let shown = unit.toward == Which::New && (far || (arrived(unit) && !progress.unseen));
            progress.shown = shown.then(|| progress.shown.unwrap_or(entry.event.at));
        }
    }

    fn watch(&mut self, entry: &Entry) {
        for (progress, unit) in self.units.iter_mut().zip(entry.after.units()) {
            progress.watched = unit.watched.then(|| progress.watched.unwrap_or(entry.event.at));
        }
    }

    /// Why a unit may not begin, or not go on to its next slot, with this entry.
    fn judged(&self, at: usize, canary: &[usize], entry: &Entry) -> Option<String> {
        if entry.after.phase() != Phase::Roll || entry.is_urgent() {
            return None;
        }
        let (now, pause_ms) = (entry.event.at, entry.roll.pause_ms);
        match entry.moves(at)? {
            Moves::Begins => {
                let waits = self.last.is_some_and(|last| !now.at_least(pause_ms, last));
                let what = entry
                    .out_of_turn(at, |it| self.passed || self.may_be_canary(it, entry))
                    .or_else(|| self.beside_canary(at, canary, entry));
                what.or_else(|| waits.then(|| "before the pause is over".to_owned()))
            }
            Moves::GoesOn => {
                if !self.passed && holds_slots(entry.roll) && canary.contains(&at) {
                    return Some("before the canary has passed".to_owned());
                }
                let since = self.units.get(at).and_then(|unit| unit.watched);
                let waits = pause_ms > 0 && since.is_none_or(|since| !now.at_least(pause_ms, since));
                waits.then(|| "before the pause after its last slot is over".to_owned())
            }
        }
    }

    /// Until the canary has passed only its units begin, one after the other.
    fn beside_canary(&self, at: usize, canary: &[usize], entry: &Entry) -> Option<String> {
        if self.passed {
            return None;
        }
        if !canary.contains(&at) {
            return Some("before the canary has passed".to_owned());
        }
        let beside = entry.busy(at).any(|(unit, _)| !unit.watched);
        beside.then(|| "beside another unit of the canary".to_owned())
    }
}

/// Only the first slot of the canary goes on at first: there is something to wait for after it.
fn holds_slots(roll: RollPolicy) -> bool {
    roll.canary == Canary::Instance && (roll.bake_ms > 0 || roll.ask)
}

fn asks(hold: Hold) -> bool {
    matches!(hold, Hold::Paused(Reason::Canary(_)))
}

fn pulls(consumer: &Consumer) -> bool {
    consumer.delivery != Delivery::Push
}

fn arrived(unit: &Unit) -> bool {
    unit.toward == Which::New && unit.stage == UnitStep::Settled
}

fn forward(unit: &Unit) -> bool {
    unit.toward == Which::New && unit.stage.is_moving()
}

fn is_busy(unit: &Unit) -> bool {
    unit.stage.is_moving() || unit.stage == UnitStep::Failed
}
