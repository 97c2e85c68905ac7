//! Looks for every mutant: a mutant that no schedule finds is a hole in the fault model.

use crate::MUTANTS;
use crate::explore::scenes;
use crate::fault_plan::{FaultPlan, Planned};
use crate::faults::{Class, Fault};
use crate::mutant::Mutant;
use crate::policy::Direction;
use crate::quirks::Quirks;
use crate::scene::{Kind, Scene, Size};
use crate::schedule::Keep;
use crate::simulate::run;

/// The most seeds that are tried on one mutant, and how many of them are tried first.
const SEEDS_MAX: u64 = 100_000;
const SEEDS_FIRST: u64 = 5_000;

/// Small scenes with a program that reads a source of truth beside keyroll's own store again and again; and large ones with
/// a program that is restarted to read it.
const READS_AGAIN: [u64; 6] = [7, 17, 34, 38, 54, 58];
const READS_AT_START: [u64; 3] = [3, 14, 15];

/// Schedules that find what few others find are tried first. They only save time: a mutant that none of them finds any
/// more is looked for among all seeds.
const RARE: [&str; 7] = [
    include_str!("../plans/rare-10489.json"),
    include_str!("../plans/rare-10644.json"),
    include_str!("../plans/rare-12633.json"),
    include_str!("../plans/rare-17889.json"),
    include_str!("../plans/rare-28063.json"),
    include_str!("../plans/rare-44032.json"),
    include_str!("../plans/rare-65195.json"),
];

/// The schedule that found a mutant first.
#[derive(Debug, Clone)]
pub struct Detection {
    /// The kind of the schedule.
    pub by: &'static str,
    /// The schedule, readably.
    pub at: String,
    /// The invariant that it broke.
    pub rule: &'static str,
    /// How it broke the invariant.
    pub what: String,
}

/// Each mutant with the first schedule that found it. `told` is called for each mutant as soon as its result is known.
pub fn hunt(told: impl Fn(&Mutant, Option<&Detection>) + Sync) -> Vec<(&'static Mutant, Option<Detection>)> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(vec![None; MUTANTS.len()]);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(mutant) = MUTANTS.get(at) else { return };
                    let by = find(mutant);
                    told(mutant, by.as_ref());
                    if let Ok(mut found) = found.lock()
                        && let Some(place) = found.get_mut(at)
                    {
                        *place = by;
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_default();
    MUTANTS.iter().zip(found).collect()
}

/// The first schedule that finds a mutant: runs without faults, seeds, single faults, then a second fault right behind
/// the first. A mutant of what an operator can do is found only by a rule that it is for.
pub fn find(mutant: &'static Mutant) -> Option<Detection> {
    if !mutant.rules.is_empty() {
        let small = scenes(Size::Reduced, 12).into_iter();
        return small.chain(scenes(Size::Full, 6)).find_map(|plan| helped(&plan, mutant));
    }
    let calm = scenes(Size::Full, 4).into_iter().find_map(|plan| {
        let at = format!("{:?}", plan.scene.kind);
        broken(&plan, mutant, "a rotation without faults", at)
    });
    calm.or_else(|| {
        let mut all = recorded().into_iter();
        all.find_map(|plan| broken(&plan, mutant, "a recorded schedule", format!("seed {}", plan.seed)))
    })
    .or_else(|| (0..SEEDS_FIRST).find_map(|seed| random(seed, mutant)))
    .or_else(|| of_followers().into_iter().find_map(|plan| followed(&plan, mutant)))
    .or_else(|| (SEEDS_FIRST..SEEDS_MAX).find_map(|seed| random(seed, mutant)))
    .or_else(|| scenes(Size::Reduced, 18).into_iter().find_map(|plan| single(&plan, mutant)))
    .or_else(|| scenes(Size::Reduced, 6).into_iter().find_map(|plan| close_pair(&plan, mutant)))
}

/// Schedules that seeds rarely reach: a session that no look shows, and a leak that is reported in the last steps; and
/// the rare ones.
pub(crate) fn recorded() -> Vec<FaultPlan> {
    let scene = Scene::plain(Size::Reduced, Kind::Independent, 3_219_387_385_105_173_777);
    let unseen = Planned { at: 62, fault: Fault::Hidden };
    let at = |at| vec![unseen, Planned { at, fault: Fault::RollFirst }];
    let unseen = (70..100).map(|told| FaultPlan { scene, seed: 65_587, faults: at(told), policy: None });
    let rare = RARE.into_iter().filter_map(|plan| serde_json::from_str(plan).ok());
    unseen.chain(rare).collect()
}

fn random(seed: u64, mutant: &'static Mutant) -> Option<Detection> {
    broken(&FaultPlan::of(seed), mutant, "a random schedule", format!("seed {seed}"))
}

fn followed(plan: &FaultPlan, mutant: &'static Mutant) -> Option<Detection> {
    let faults: Vec<_> = plan.faults.iter().map(|it| (it.at, it.fault)).collect();
    let at = format!("{:?} draw {}: {faults:?}", plan.scene.kind, plan.scene.draw);
    broken(plan, mutant, "a program that reads the source of truth", at)
}

/// Schedules in which programs read a source of truth by themselves: another party changes what it gives out, the operator
/// waives such a program, a Promote fails, or the program was restarted before a rollback.
fn of_followers() -> Vec<FaultPlan> {
    let one = |fault: Fault| move |at: u32| vec![Planned { at, fault }];
    let mut all: Vec<Vec<Planned>> = (24..110).map(one(Fault::TruthChanged)).collect();
    all.extend([10, 20, 30].map(one(Fault::Waive)));
    all.extend((22..42).map(one(Fault::FailedForGood)));
    let back =
        |at: u32| vec![Planned { at, fault: Fault::Restart }, Planned { at: at + 5, fault: Fault::Abort }];
    all.extend((34..90).step_by(4).map(back));
    let small = [Kind::Independent, Kind::TwoSlots].into_iter();
    let small = small.flat_map(|kind| READS_AGAIN.map(|draw| Scene::plain(Size::Reduced, kind, draw)));
    let large = READS_AT_START.map(|draw| Scene::plain(Size::Drawn, Kind::Independent, draw));
    let scenes = small.chain(large).map(|scene| Scene { quirks: Quirks::truth(), ..scene });
    let planned = |scene: Scene| {
        let of = move |faults| FaultPlan { scene, seed: scene.draw, faults, policy: None };
        all.clone().into_iter().map(of)
    };
    scenes.flat_map(planned).collect()
}

fn single(plan: &FaultPlan, mutant: &'static Mutant) -> Option<Detection> {
    let actions = run(plan, mutant, Keep::default(), None).actions;
    let mut all = (0..actions).flat_map(|at| Fault::passing().map(move |fault| (at, fault)));
    all.find_map(|(at, fault)| {
        broken(&plan.with_fault(at, fault), mutant, "a single fault", format!("{fault:?} at {at}"))
    })
}

/// A fault, after which an operator does what the rotation names.
fn helped(plan: &FaultPlan, mutant: &'static Mutant) -> Option<Detection> {
    let keep = Keep { classes: true, ..Keep::default() };
    let classes = run(plan, &Mutant::NONE, keep, None).classes;
    let mut all = (0..).zip(&classes).flat_map(|(at, (_, class))| {
        mutant.after.iter().filter(|fault| fault.fits(*class)).map(move |fault| (at, *fault))
    });
    all.find_map(|(at, fault)| {
        Direction::ALL.into_iter().find_map(|way| {
            let told = format!("{fault:?} at {at}, {way:?}");
            let plan = plan.with_fault(at, fault).helped(at, way);
            let found = broken(&plan, mutant, "an operator who does what is named", told)?;
            mutant.rules.contains(&found.rule).then_some(found)
        })
    })
}

/// An operation whose answer is lost or bad, and one more fault before its outcome is known.
fn close_pair(plan: &FaultPlan, mutant: &'static Mutant) -> Option<Detection> {
    let keep = Keep { classes: true, ..Keep::default() };
    let classes = run(plan, mutant, keep, None).classes;
    let carried = (0u32..).zip(classes).filter(|(_, (_, class))| matches!(class, Class::Carry(_)));
    for (at, _) in carried {
        for first in [Fault::LostReply, Fault::LostRequest, Fault::Slow] {
            for second in Fault::passing() {
                for later in 1..5 {
                    let pair = plan.with_fault(at, first).with_fault(at + later, second);
                    let told = format!("{first:?} at {at}, {second:?} {later} later");
                    let found = broken(&pair, mutant, "two faults", told);
                    if found.is_some() {
                        return found;
                    }
                }
            }
        }
    }
    None
}

fn broken(plan: &FaultPlan, mutant: &'static Mutant, by: &'static str, at: String) -> Option<Detection> {
    let violation = run(plan, mutant, Keep::default(), None).violation?;
    // A schedule on which the protocol itself breaks an invariant finds no mutant.
    if run(plan, &Mutant::NONE, Keep::default(), None).violation.is_some() {
        return None;
    }
    Some(Detection { by, at, rule: violation.rule, what: violation.what })
}

/// The document about all of them.
pub fn table(found: &[(&'static Mutant, Option<Detection>)]) -> String {
    let mut text = String::from(
        "# Mutants

A mutant is a deliberate bug that breaks one sentence of [the protocol](../design/rotation.md). The simulation must \
         find every mutant. The table names the sentence, the invariant that the mutant violates first, and the kind of \
         schedule in which it does. Generated by `UPDATE_DOCS=1 cargo xtask sim --mutants`.

| mutant | sentence broken | invariant violated | schedule |
|---|---|---|---|
",
    );
    for (mutant, by) in found {
        let (rule, place) = by.as_ref().map_or(("nothing", "-"), |by| (by.rule, by.by));
        text += &format!("| {} | {} | {rule} | {place} |\n", mutant.name, mutant.sentence);
    }
    text
}
