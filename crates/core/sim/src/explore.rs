//! Which schedules are run: all single faults, pairs over classes, seeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyroll_rotation::Phase;

use crate::Coverage;
use crate::fault_plan::FaultPlan;
use crate::faults::{Class, Fault};
use crate::mutant::Mutant;
use crate::policy::Direction;
use crate::quirks::Quirks;
use crate::scene::{Family, Kind, Scene, Size};
use crate::schedule::{Keep, Violation};
use crate::simulate::run;

/// How many violations are kept in full.
const KEPT_MAX: usize = 20;

/// The result of a set of schedules.
#[derive(Debug, Default)]
pub struct Tally {
    /// Schedules that were run.
    pub schedules: u64,
    /// Inputs that went through a driver.
    pub steps: u64,
    /// Schedules with a violation, or whose second run differed from the first.
    pub violations: u64,
    /// The first of them.
    pub kept: Vec<(FaultPlan, Violation)>,
    /// The phase changes and faults that happened.
    pub coverage: Coverage,
}

impl Tally {
    /// Runs one schedule and counts it. Returns whether it kept every invariant.
    pub fn take(&mut self, plan: &FaultPlan, twice: bool) -> bool {
        let report = run(plan, &Mutant::NONE, Keep::default(), Some(&mut self.coverage));
        self.schedules += 1;
        self.steps += report.steps;
        let mut violation = report.violation;
        if twice && violation.is_none() {
            let again = run(plan, &Mutant::NONE, Keep::default(), None);
            self.steps += again.steps;
            if again.trace != report.trace {
                let what = "two runs of one schedule differ".to_owned();
                violation = Some(Violation { rule: "trace", what });
            }
        }
        let sound = violation.is_none();
        if let Some(violation) = violation {
            self.violations += 1;
            if self.kept.len() < KEPT_MAX {
                self.kept.push((plan.clone(), violation));
            }
        }
        sound
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.violations += other.violations;
        self.coverage.add(&other.coverage);
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }
}

/// Runs every job on as many threads as there are cores.
pub(crate) fn over_cores<T: Sync>(jobs: &[T], work: impl Fn(&T, &mut Tally) + Sync) -> Tally {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(job, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(tally) => all.add(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

/// One of so many seeds is run twice: of 100,000 seeds 6,250, which still meet six times what only one schedule in a
/// thousand runs through. A difference that shows more rarely than that may be missed in one run.
const TWICE_EVERY: u64 = 16;

/// Seeds `from..to`; every 16th is run twice, and the two runs must be the same. `turn` decides which ones: over 16 turns
/// it is all of them.
pub fn seeds(from: u64, to: u64, turn: u64) -> Tally {
    let jobs: Vec<u64> = (from..to).step_by(500).collect();
    over_cores(&jobs, |start, tally| {
        for seed in *start..(*start + 500).min(to) {
            tally.take(&FaultPlan::of(seed), seed % TWICE_EVERY == turn % TWICE_EVERY);
        }
    })
}

/// Of six draws, two have a key that several secrets share.
fn family(kind: Kind, draw: u64) -> Family {
    match (kind, draw % 6) {
        (Kind::Independent, 2) => Family::Part,
        (Kind::Independent, 3) => Family::End,
        _ => Family::None,
    }
}

/// The scenes that exhaustive runs go over: enough draws per kind of overlap for every capability.
pub(crate) fn scenes(size: Size, draws: u64) -> Vec<FaultPlan> {
    // Of six draws, one has consumers that take their value from keyroll's socket, and one a source of truth. Beside six
    // draws there is one with a paced roll, one in which the issuer is asked from each host, one with up to five hosts,
    // and one with pods.
    let all = Kind::ALL.iter().flat_map(|kind| {
        (0..draws).map(move |draw| FaultPlan {
            scene: Scene {
                recovery: draw % 12 == 11,
                family: family(*kind, draw),
                quirks: match draw % 6 {
                    4 => Quirks::served(),
                    5 => Quirks::truth(),
                    _ => Quirks::default(),
                },
                ..Scene::plain(size, *kind, draw * 7 + 1)
            },
            seed: draw,
            faults: Vec::new(),
            policy: None,
        })
    });
    let paced = Kind::ALL.iter().flat_map(|kind| {
        (0..draws / 6).map(move |draw| FaultPlan {
            scene: Scene { quirks: Quirks::staged(), ..Scene::plain(size, *kind, draw * 7 + 4) },
            seed: draw,
            faults: Vec::new(),
            policy: None,
        })
    });
    let from_hosts = Kind::ALL.iter().flat_map(|kind| {
        (0..draws / 6).map(move |draw| FaultPlan {
            scene: Scene { quirks: Quirks::away(), ..Scene::plain(size, *kind, draw * 7 + 5) },
            seed: draw,
            faults: Vec::new(),
            policy: None,
        })
    });
    let over_links = Kind::ALL.iter().flat_map(|kind| {
        (0..draws / 6).map(move |draw| FaultPlan {
            scene: Scene { quirks: Quirks::links(), ..Scene::plain(size, *kind, draw * 7 + 6) },
            seed: draw,
            faults: Vec::new(),
            policy: None,
        })
    });
    let over_pods = Kind::ALL.iter().flat_map(|kind| {
        (0..draws / 6).map(move |draw| FaultPlan {
            scene: Scene { quirks: Quirks::pods(), ..Scene::plain(size, *kind, draw * 7 + 3) },
            seed: draw,
            faults: Vec::new(),
            policy: None,
        })
    });
    all.chain(paced).chain(from_hosts).chain(over_links).chain(over_pods).collect()
}

/// Single faults at the actions that they fit: every n-th one, in each scene from another one on.
pub fn singles(size: Size, draws: u64, every: usize) -> Tally {
    let calm: Vec<_> = scenes(size, draws).into_iter().enumerate().collect();
    over_cores(&calm, |(number, plan), tally| {
        tally.take(plan, false);
        let baseline = run(plan, &Mutant::NONE, Keep { classes: true, ..Keep::default() }, None);
        let faults = baseline.classes.iter().enumerate().flat_map(|(at, (_, class))| {
            Fault::passing().filter(|fault| fault.fits(*class)).map(move |fault| (at, fault))
        });
        for (at, fault) in faults.skip(number % every).step_by(every) {
            tally.take(&with(plan, at, fault), false);
        }
    })
}

/// Single faults after which an operator does what the rotation names, forward and back; also those that last until then.
pub fn helped(size: Size, draws: u64, every: usize) -> Tally {
    let calm: Vec<_> = scenes(size, draws).into_iter().enumerate().collect();
    over_cores(&calm, |(number, plan), tally| {
        let baseline = run(plan, &Mutant::NONE, Keep { classes: true, ..Keep::default() }, None);
        let faults = (0..).zip(&baseline.classes).flat_map(|(at, (_, class))| {
            Fault::ALL.into_iter().filter(|fault| fault.fits(*class)).map(move |fault| (at, fault))
        });
        for (at, fault) in faults.skip(number % every).step_by(every) {
            for way in Direction::ALL {
                tally.take(&plan.with_fault(at, fault).helped(at, way), false);
            }
        }
    })
}

pub(crate) fn with(plan: &FaultPlan, at: usize, fault: Fault) -> FaultPlan {
    plan.with_fault(u32::try_from(at).unwrap_or(u32::MAX), fault)
}

/// Faults that happen to the world and not to an action: one place per phase is enough.
fn of_the_world(fault: Fault) -> bool {
    let later = Fault::ALL.iter().skip_while(|it| **it != Fault::HostDown).any(|it| *it == fault);
    (later && !fault.is_of_order()) || matches!(fault, Fault::Reboot | Fault::Zombie | Fault::CrashBefore)
}

/// For each class (phase and kind of operation) of a run: its first action from this one on, and the faults that fit.
pub(crate) fn classes(plan: &FaultPlan, from: usize) -> Vec<(usize, Fault)> {
    let report = run(plan, &Mutant::NONE, Keep { classes: true, ..Keep::default() }, None);
    let mut first: BTreeMap<(Phase, Class), usize> = BTreeMap::new();
    for (at, key) in report.classes.iter().enumerate().skip(from) {
        first.entry(*key).or_insert(at);
    }
    let mut found = Vec::new();
    for ((_, class), at) in first {
        for fault in Fault::passing() {
            if fault.fits(class) && (!of_the_world(fault) || class == Class::Append) {
                found.push((at, fault));
            }
        }
    }
    found
}

/// Pairs of faults over the classes of the world, per kind of overlap: every n-th first fault with all second ones.
pub fn pairs(size: Size, draws: u64, every: usize) -> Tally {
    let mut jobs = Vec::new();
    for plan in scenes(size, draws) {
        jobs.extend(classes(&plan, 0).into_iter().map(|(at, fault)| (with(&plan, at, fault), at)));
    }
    let jobs: Vec<_> = jobs.into_iter().step_by(every).collect();
    over_cores(&jobs, |(first, at), tally| {
        for (at, fault) in classes(first, at + 1) {
            tally.take(&with(first, at, fault), false);
        }
    })
}

/// Pairs of faults with a third one, at every n-th place.
pub fn triples(draws: u64, every: usize) -> Tally {
    let mut jobs = Vec::new();
    for plan in scenes(Size::Reduced, draws) {
        for (at, fault) in classes(&plan, 0) {
            let first = with(&plan, at, fault);
            let more = classes(&first, at + 1).into_iter().step_by(every);
            jobs.extend(more.map(|(at, fault)| (with(&first, at, fault), at)));
        }
    }
    over_cores(&jobs, |(second, at), tally| {
        for (at, fault) in classes(second, at + 1).into_iter().step_by(every) {
            tally.take(&with(second, at, fault), false);
        }
    })
}
