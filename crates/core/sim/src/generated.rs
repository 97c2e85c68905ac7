//! Generated mutants: which schedules reach them, and which schedule finds one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use keyroll_mutation as mutation;
use serde::{Deserialize, Serialize};

use crate::explore::{classes, scenes, with};
use crate::fault_plan::FaultPlan;
use crate::hunt::recorded;
use crate::mutant::Mutant;
use crate::scene::Size;
use crate::schedule::Keep;
use crate::simulate::run;

/// A mutant may call the switch so many times as often as the unmutated protocol in the same schedule: that is more than
/// a run may have steps, so that a run that only does not end breaks the invariant about it.
const CALLS_FACTOR: u64 = 300;

/// Calls of the switch that every schedule may have in addition.
const CALLS_MORE: u64 = 2_000_000;

/// Draws of a scene: for calm rotations and for single faults.
const CALM_DRAWS: u64 = 6;
const SINGLE_DRAWS: u64 = 2;

/// One of so many single faults is followed by second ones, and of these one of so many is kept.
const PAIRS_FIRST_EVERY: usize = 23;
const PAIRS_SECOND_EVERY: usize = 11;

/// One schedule that mutants are run on.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its kind: `calm`, `recorded`, `seed`, `single` or `pair`.
    pub kind: &'static str,
    /// The schedule itself.
    pub plan: FaultPlan,
}

impl Schedule {
    /// The schedule in a few words.
    pub fn shown(&self) -> String {
        let faults: Vec<String> =
            self.plan.faults.iter().map(|it| format!("{:?} at {}", it.fault, it.at)).collect();
        match self.kind {
            "seed" => format!("seed {}", self.plan.seed),
            _ => format!(
                "{} {:?} draw {}: {}",
                self.kind,
                self.plan.scene.kind,
                self.plan.seed,
                faults.join(", ")
            ),
        }
    }
}

/// What the unmutated protocol does in one schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reached {
    /// The place of the schedule in the list.
    pub at: usize,
    /// It breaks an invariant without any mutant, so it finds none.
    pub broken: bool,
    /// Calls of the switch.
    pub calls: u64,
    /// A bit for each mutant that it reaches.
    pub mutants: Vec<u64>,
}

impl Reached {
    /// Whether a mutant is reached, in a schedule that can find it.
    pub fn holds(&self, mutant: u32) -> bool {
        let word = self.mutants.get(mutant as usize / 64).copied().unwrap_or_default();
        !self.broken && word & 1 << (mutant % 64) != 0
    }
}

/// How a mutant ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fate {
    /// Its number.
    pub mutant: u32,
    /// `killed`, `panicked`, `endless`, `survived` or `unreached`.
    pub result: String,
    /// The invariant that it broke, or nothing.
    pub rule: String,
    /// How.
    pub what: String,
    /// The schedule that found it.
    pub schedule: String,
    /// How many schedules it went through.
    pub schedules: usize,
}

/// Every schedule, always in the same order: without faults, recorded, so many seeds, single faults, pairs.
pub fn schedules(seeds: u64) -> Vec<Schedule> {
    let of = |kind: &'static str, plans: Vec<FaultPlan>| {
        plans.into_iter().map(move |plan| Schedule { kind, plan })
    };
    let mut all: Vec<Schedule> = of("calm", scenes(Size::Full, CALM_DRAWS)).collect();
    all.extend(of("recorded", recorded()));
    all.extend(of("seed", (0..seeds).map(FaultPlan::of).collect()));
    let (mut singles, mut pairs) = (Vec::new(), Vec::new());
    for plan in scenes(Size::Reduced, SINGLE_DRAWS) {
        for (place, (at, fault)) in classes(&plan, 0).into_iter().enumerate() {
            let first = with(&plan, at, fault);
            if place % PAIRS_FIRST_EVERY == 0 {
                let second = classes(&first, at + 1).into_iter().step_by(PAIRS_SECOND_EVERY);
                pairs.extend(second.map(|(at, fault)| with(&first, at, fault)));
            }
            singles.push(first);
        }
    }
    all.extend(of("single", singles));
    all.extend(of("pair", pairs));
    all
}

/// Runs one schedule without a mutant and records which mutants it reaches.
pub fn reached(at: usize, schedule: &Schedule) -> Reached {
    let (report, mutants, calls) =
        mutation::record(|| run(&schedule.plan, &Mutant::NONE, Keep::default(), None));
    let words = mutants.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
    let mutants = mutants.into_iter().take(words).collect();
    Reached { at, broken: report.violation.is_some(), calls, mutants }
}

/// Runs a mutant on the schedules that reach it, of each kind at most so many, spread over all of that kind.
///
/// It gets a thread of its own: a mutant that panics leaves the thread's variables as they were at that moment.
pub fn try_mutant(mutant: u32, all: &[Schedule], reached: &[Reached], each_max: usize) -> Fate {
    let ran = std::thread::scope(|scope| scope.spawn(|| find(mutant, all, reached, each_max)).join());
    ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn find(mutant: u32, all: &[Schedule], reached: &[Reached], each_max: usize) -> Fate {
    let mut schedules = 0;
    let fate = |result: &str, rule: &str, what: String, schedule: String, schedules| Fate {
        mutant,
        result: result.to_owned(),
        rule: rule.to_owned(),
        what,
        schedule,
        schedules,
    };
    for kind in ["calm", "recorded", "seed", "single", "pair"] {
        let reaching: Vec<(&Schedule, &Reached)> = reached
            .iter()
            .filter(|it| it.holds(mutant))
            .filter_map(|it| Some((all.get(it.at)?, it)))
            .filter(|(schedule, _)| schedule.kind == kind)
            .collect();
        let step = reaching.len().div_ceil(each_max.max(1)).max(1);
        for (schedule, before) in reaching.into_iter().step_by(step) {
            schedules += 1;
            mutation::select(mutant, before.calls * CALLS_FACTOR + CALLS_MORE);
            let ran =
                catch_unwind(AssertUnwindSafe(|| run(&schedule.plan, &Mutant::NONE, Keep::default(), None)));
            mutation::select(mutation::NONE, u64::MAX);
            match ran {
                Ok(report) => {
                    if let Some(broken) = report.violation {
                        return fate("killed", broken.rule, broken.what, schedule.shown(), schedules);
                    }
                }
                Err(panic) if mutation::is_endless(panic.as_ref()) => {
                    return fate("endless", "", String::new(), schedule.shown(), schedules);
                }
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    return fate("panicked", "", text.unwrap_or_default(), schedule.shown(), schedules);
                }
            }
        }
    }
    let result = if schedules == 0 { "unreached" } else { "survived" };
    fate(result, "", String::new(), String::new(), schedules)
}
