mod place_sets;
mod plan_index;

use std::sync::Arc;

use self::place_sets::{Classes, PlaceSet};
use self::plan_index::PlanIndex;
use super::attempts::ATTEMPTS_MAX;
use super::pacing::Pacing;
use crate::plan::Plan;
use crate::{SharedList, Stamp, Which};

/// The classes of units that move to the new version, by their stage, one bit each.
const WAITING: u8 = 1;
const MOVING: u8 = 1 << 1;
const FAILED: u8 = 1 << 2;
const SETTLED: u8 = 1 << 3;

/// Classes of units that move to this version.
fn toward(which: Which, stages: u8) -> u8 {
    match which {
        Which::New => stages,
        Which::Old => stages << 4,
    }
}

/// Classes of units that move to either version.
fn either(stages: u8) -> u8 {
    toward(Which::New, stages) | toward(Which::Old, stages)
}

/// The class of a unit, by the place of its bit.
fn class(unit: &Unit) -> usize {
    let stage = match unit.stage {
        UnitStep::Waiting => 0,
        UnitStep::Delivering | UnitStep::Applying(_) | UnitStep::Proving(_) => 1,
        UnitStep::Failed => 2,
        UnitStep::Settled => 3,
    };
    match unit.toward {
        Which::New => stage,
        Which::Old => stage + 4,
    }
}

/// How far one unit (a consumer on its host) has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitStep {
    /// Its turn has not come.
    Waiting,
    /// Its files are being written, or it is fetching.
    Delivering,
    /// A slot is being made to load the files.
    Applying(u8),
    /// A slot's instances are being proven.
    Proving(u8),
    /// Every slot is proven.
    Settled,
    /// The unit did not load the value.
    Failed,
}

impl UnitStep {
    /// Whether the unit is being moved: begun, and neither settled nor failed.
    pub fn is_moving(self) -> bool {
        matches!(self, Self::Delivering | Self::Applying(_) | Self::Proving(_))
    }
}

/// One consumer on its way to a version. Only [`Units`] changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// How far it has come.
    pub stage: UnitStep,
    /// The version that it moves to.
    pub toward: Which,
    /// Since when it has been in this stage; of a settled one, in the stage before.
    pub since: Stamp,
    /// Slots that still have to be applied in this pass, as bits.
    pub slots: u32,
    /// Slots that ever began to load the new version, as bits.
    pub moved: u32,
    /// The slots of `moved` that load the new version for the first time: a refused restart removes such a slot from
    /// `moved`, and so does a Promote that was certainly not carried out.
    pub first: u32,
    /// The fetch of this pass was carried out.
    pub fetched: bool,
    /// Failed attempts in this pass.
    pub failures: u8,
    /// It is proven as far as it was moved, and is watched: it goes on once the canary has passed, or the pause is over.
    pub watched: bool,
    /// When a look showed last, in this wait, that what is watched works.
    pub shown: Option<Stamp>,
    /// A restart of it failed, or its outcome was not seen, and none was carried out since.
    pub unrestarted: bool,
    /// The operator waived it after that, in a rollback: it is not restarted any more.
    pub excused: bool,
    /// It settled while it had gone or its host had left: nothing shows which version it has. Always false before protocol 18.
    pub left: bool,
}

impl Unit {
    /// It was moved to the new version, and is proven.
    pub fn has_arrived(&self) -> bool {
        self.stage == UnitStep::Settled && self.toward == Which::New
    }

    fn waiting(stage: UnitStep, slots: u32, at: Stamp) -> Self {
        Self {
            stage,
            toward: Which::New,
            since: at,
            slots,
            moved: 0,
            first: 0,
            fetched: false,
            failures: 0,
            watched: false,
            shown: None,
            unrestarted: false,
            excused: false,
            left: false,
        }
    }

    /// Sends the unit to the start, toward a version; `slots` are the slots to apply.
    fn send(&mut self, toward: Which, slots: u32, now: Stamp) {
        *self = Self {
            toward,
            moved: self.moved,
            first: self.first,
            unrestarted: self.unrestarted,
            excused: self.excused && toward == Which::Old,
            ..Self::waiting(UnitStep::Waiting, slots, now)
        };
    }

    fn enter(&mut self, stage: UnitStep, now: Stamp) {
        (self.stage, self.since, self.watched) = (stage, now, false);
    }
}

/// The units in the plan's order. `moved` remembers every slot that was ever moved, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Units {
    all: SharedList<Unit>,
    /// The class of each unit. Copied only by the state that changes it.
    classes: Arc<Classes>,
    index: Arc<PlanIndex>,
    /// How far the roll has come.
    pub(crate) pacing: Pacing,
}

impl Units {
    pub(super) fn open(plan: &Plan, stage: UnitStep, at: Stamp) -> Self {
        let all = SharedList::filled(&Unit::waiting(stage, 0, at), plan.consumers.len());
        Self {
            classes: classes(&all),
            index: Arc::new(PlanIndex::of(plan)),
            pacing: Pacing::open(all.len()),
            all,
        }
    }

    pub(crate) fn all(&self) -> &SharedList<Unit> {
        &self.all
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Unit> {
        self.all.get(at)
    }

    /// Where the consumers of the plan are found.
    pub(crate) fn index(&self) -> &PlanIndex {
        &self.index
    }

    /// Whether what is kept of the units and of the plan beside them is what would be made of them anew.
    pub(crate) fn is_consistent(&self, plan: &Plan) -> bool {
        self.classes == classes(&self.all) && *self.index == PlanIndex::of(plan)
    }

    /// The units that were begun, and have neither settled nor failed.
    pub(crate) fn moving(&self) -> impl Iterator<Item = usize> {
        self.classes.places(either(MOVING))
    }

    pub(crate) fn is_any_moving(&self) -> bool {
        self.classes.count(either(MOVING)) > 0
    }

    /// The units whose turn has not come.
    pub(crate) fn waiting(&self, which: Which) -> impl Iterator<Item = usize> {
        self.classes.places(toward(which, WAITING))
    }

    /// Those of them that are in a set.
    pub(crate) fn waiting_of<'a>(
        &'a self,
        which: Which,
        set: &'a PlaceSet,
    ) -> impl Iterator<Item = usize> + 'a {
        self.classes.places_of(toward(which, WAITING), set)
    }

    /// The units that wait for the new version, and whose files keyroll writes.
    pub(crate) fn waiting_pushed(&self) -> impl Iterator<Item = usize> {
        self.waiting_of(Which::New, self.index.pushed())
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = usize> {
        self.classes.places(either(FAILED))
    }

    pub(crate) fn settled(&self, which: Which) -> impl Iterator<Item = usize> {
        self.classes.places(toward(which, SETTLED))
    }

    pub(crate) fn have_all_settled(&self, which: Which) -> bool {
        self.classes.count(toward(which, SETTLED)) == self.all.len()
    }

    /// All units that move to this version, or have.
    pub(crate) fn bound(&self, which: Which) -> impl Iterator<Item = usize> {
        self.classes.places(toward(which, u8::MAX >> 4))
    }

    /// How many units were begun, and have not settled.
    pub(crate) fn count_begun(&self) -> usize {
        self.classes.count(either(MOVING | FAILED))
    }

    /// Whether a unit goes to the old version, and is not there.
    pub(crate) fn is_any_retreating(&self) -> bool {
        self.classes.count(toward(Which::Old, WAITING | MOVING | FAILED)) > 0
    }

    /// The first wave, of those whose files keyroll writes or of the others (`pulled`), in which a unit that `counts` has not
    /// arrived.
    pub(crate) fn open_wave(&self, pulled: bool, counts: impl Fn(usize) -> bool) -> Option<(u8, &PlaceSet)> {
        let open =
            |units: &PlaceSet| self.classes.places_of(!toward(Which::New, SETTLED), units).any(&counts);
        self.index.waves(pulled).find(|(_, units)| open(units))
    }

    /// A consumer was adopted: every one of its slots is applied.
    pub(super) fn adopt(&mut self, plan: &Plan, slots: u32, now: Stamp) {
        self.all.push(Unit::waiting(UnitStep::Waiting, slots, now));
        self.classes = classes(&self.all);
        self.index = Arc::new(PlanIndex::of(plan));
    }

    /// Sends a unit toward a version, with these slots to apply.
    pub(crate) fn send(&mut self, at: usize, toward: Which, slots: u32, now: Stamp) {
        self.with(at, |unit| unit.send(toward, slots, now));
    }

    /// Every unit is moved to the new version, the canary first.
    pub(crate) fn send_all(&mut self, now: Stamp) {
        self.pacing = Pacing::open(self.all.len());
        self.all.iter_mut().for_each(|unit| unit.send(Which::New, 0, now));
        self.classes = classes(&self.all);
    }

    /// Lets a waiting unit begin. Without a choice of slots, all of its slots load the new version.
    pub(crate) fn start(&mut self, at: usize, all: u32, now: Stamp) {
        self.with(at, |unit| {
            unit.enter(UnitStep::Delivering, now);
            if unit.slots == 0 && unit.toward == Which::New {
                unit.slots = all;
            }
        });
    }

    pub(crate) fn enter(&mut self, at: usize, stage: UnitStep, now: Stamp) {
        self.with(at, |unit| unit.enter(stage, now));
    }

    /// Nothing is left to do for a unit. Its time counts on: a waived program that reads the store again may need all of it.
    pub(crate) fn settle(&mut self, at: usize) {
        self.with(at, |unit| (unit.stage, unit.watched) = (UnitStep::Settled, false));
    }

    pub(crate) fn fail(&mut self, at: usize) {
        self.pacing.fail();
        self.with(at, |unit| (unit.stage, unit.watched) = (UnitStep::Failed, false));
    }

    /// Nothing more is tried at this stage, which has its whole time to be seen.
    pub(crate) fn exhaust(&mut self, at: usize, now: Stamp) {
        self.with(at, |unit| (unit.failures, unit.since) = (ATTEMPTS_MAX, now));
    }

    /// One operation of a stage is given up, and the next one has its attempts and its time.
    pub(crate) fn try_next(&mut self, at: usize, now: Stamp) {
        self.with(at, |unit| (unit.failures, unit.since) = (0, now));
    }

    /// Its host has left: the unit is settled as it is, and nothing shows which version it has.
    pub(crate) fn leave(&mut self, at: usize, toward: Which, left: bool, now: Stamp) {
        self.with(at, |unit| {
            unit.send(toward, 0, now);
            (unit.stage, unit.left) = (UnitStep::Settled, left);
        });
    }

    /// It settled while it had gone or its host had left: nothing shows which version it has.
    pub(crate) fn is_unseen(&self, at: usize) -> bool {
        self.get(at).is_some_and(|unit| unit.left)
    }

    /// It had gone, and is back.
    pub(crate) fn return_gone(&mut self, at: usize) {
        self.with(at, |unit| unit.left = unit.stage == UnitStep::Settled);
    }

    /// A unit that is proven as far as it was moved is watched from now on, or must be proven again.
    pub(crate) fn watch(&mut self, at: usize, watched: bool, now: Stamp) {
        self.with(at, |unit| (unit.watched, unit.since, unit.shown) = (watched, now, None));
    }

    /// A look showed that what is watched works.
    pub(crate) fn show(&mut self, at: usize, now: Stamp) {
        self.with(at, |unit| unit.shown = Some(now));
    }

    /// A slot is about to load the new version.
    pub(crate) fn begin_slot(&mut self, at: usize, slot: u8) {
        self.with(at, |unit| {
            unit.first |= bit(slot) & !unit.moved;
            unit.moved |= bit(slot);
        });
    }

    /// Slots are about to load the new version by themselves: no restart can be refused.
    pub(crate) fn begin_slots(&mut self, at: usize, slots: u32) {
        self.with(at, |unit| unit.moved |= slots);
    }

    /// Slots load the new version by themselves once a Promote gives it out.
    pub(crate) fn begin_slots_with_promote(&mut self, at: usize, slots: u32) {
        self.with(at, |unit| {
            unit.first |= slots & !unit.moved;
            unit.moved |= slots;
        });
    }

    /// That Promote may have been carried out.
    pub(crate) fn touch_all(&mut self, at: usize) {
        self.with(at, |unit| unit.first = 0);
    }

    /// That Promote was certainly not carried out: a rollback has nothing to restore in the slots that began with it.
    pub(crate) fn refuse_all(&mut self, at: usize) {
        self.with(at, |unit| {
            unit.moved &= !unit.first;
            unit.first = 0;
        });
    }

    /// An operation may have changed this slot.
    pub(crate) fn touch(&mut self, at: usize, slot: u8) {
        self.with(at, |unit| unit.first &= !bit(slot));
    }

    /// No operation changed this slot: a rollback has nothing to restart there.
    pub(crate) fn refuse(&mut self, at: usize, slot: u8) {
        self.with(at, |unit| {
            unit.moved &= !(unit.first & bit(slot));
            unit.first &= !bit(slot);
        });
    }

    pub(crate) fn apply(&mut self, at: usize, slot: u8, now: Stamp) {
        self.with(at, |unit| {
            unit.slots &= !bit(slot);
            unit.failures = 0;
            unit.unrestarted = false;
            unit.enter(UnitStep::Proving(slot), now);
        });
    }

    pub(crate) fn fetch(&mut self, at: usize) {
        self.with(at, |unit| unit.fetched = true);
    }

    pub(crate) fn count_failure(&mut self, at: usize) {
        self.with(at, |unit| unit.failures = unit.failures.saturating_add(1));
    }

    /// A restart did not make it load the version.
    pub(crate) fn fail_restart(&mut self, at: usize) {
        self.with(at, |unit| unit.unrestarted = true);
    }

    /// It is not restarted any more, or again.
    pub(crate) fn excuse(&mut self, at: usize, excused: bool) {
        self.with(at, |unit| unit.excused = excused);
    }

    /// It waits for its turn again, with what it has done and failed to do.
    pub(crate) fn put_off(&mut self, at: usize, now: Stamp) {
        self.with(at, |unit| unit.enter(UnitStep::Waiting, now));
    }

    /// The operator resumed: counts and windows begin anew, and units that failed, or that were rolled back alone,
    /// begin again. Returns those units.
    pub(crate) fn resume(&mut self, forward: bool, now: Stamp) -> Vec<usize> {
        let mut again = Vec::new();
        for (at, unit) in self.all.iter_mut().enumerate() {
            (unit.since, unit.failures, unit.shown) = (now, 0, None);
            let wrong_way = forward && unit.toward == Which::Old;
            if unit.stage == UnitStep::Failed || wrong_way {
                again.push(at);
                let toward = if forward { Which::New } else { Which::Old };
                unit.send(toward, if forward { 0 } else { unit.moved }, now);
            }
        }
        self.classes = classes(&self.all);
        again
    }

    /// A new driver cannot measure durations from before its start.
    pub(super) fn driver_started(&mut self, now: Stamp) {
        self.pacing.driver_started(now);
        self.all.iter_mut().for_each(|unit| (unit.since, unit.shown) = (now, None));
    }

    /// The units that are on their way have their whole time again.
    pub(crate) fn restart_time(&mut self, now: Stamp) {
        for at in self.moving().collect::<Vec<_>>() {
            self.with(at, |unit| (unit.since, unit.shown) = (now, None));
        }
    }

    fn with(&mut self, at: usize, change: impl FnOnce(&mut Unit)) {
        let Some(unit) = self.all.get_mut(at) else { return };
        let before = class(unit);
        change(unit);
        let after = class(unit);
        if after != before {
            Arc::make_mut(&mut self.classes).change(at, before, after);
        }
    }
}

/// The class of each unit.
fn classes(all: &SharedList<Unit>) -> Arc<Classes> {
    Arc::new(Classes::of(all.iter().map(class)))
}

/// The next slot of these bits.
pub(crate) fn next_slot(slots: u32) -> Option<u8> {
    if slots == 0 { None } else { u8::try_from(slots.trailing_zeros()).ok() }
}

/// A slot as a bit.
pub(crate) fn bit(slot: u8) -> u32 {
    1u32.checked_shl(u32::from(slot)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use crate::{Event, Fact, Overlap, State, step};

    const AT: Stamp = Stamp { ms: 0, boot: 1, epoch: 1 };

    #[test]
    fn what_is_kept_beside_the_units_and_is_not_as_they_are_is_seen() {
        let two = plan(Overlap::TwoSlots, 2, 1);
        let mut units = Units::open(&two, UnitStep::Waiting, AT);
        units.enter(1, UnitStep::Delivering, AT);
        assert!(units.is_consistent(&two));
        let three = plan(Overlap::TwoSlots, 3, 1);
        assert!(!units.is_consistent(&three), "the index is of another plan");
        units.adopt(&three, 3, AT);
        assert!(units.is_consistent(&three));
        units.all.iter_mut().for_each(|unit| unit.stage = UnitStep::Settled);
        assert!(!units.is_consistent(&three), "a unit is in another class");
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "the units are found where they are not")]
    fn a_step_after_which_a_unit_is_in_another_class_is_not_gone_on_from() {
        let mut state = State::open(plan(Overlap::TwoSlots, 2, 1), AT).unwrap();
        let event = Event { at: AT, fact: Fact::DriverStarted };
        state = step(&state, &event).unwrap().0;
        state.units.all.iter_mut().for_each(|unit| unit.toward = Which::Old);
        drop(step(&state, &Event { at: AT, fact: Fact::Clock }));
    }
}
