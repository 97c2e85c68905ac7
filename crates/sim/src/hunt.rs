//! Looks for every mutant: a mutant that no schedule finds is a hole in the fault model.

use crate::MUTANTS;
use crate::explore::scenes;
use crate::faults::{Fault, FaultPlan, Planned};
use crate::mutant::Mutant;
use crate::run::{Keep, run};
use crate::scene::Size;

/// Seeds that are tried on one mutant at the most.
const SEEDS_MAX: u64 = 16_000;

/// Each mutant with the first schedule that found it.
pub fn hunt() -> Vec<(&'static Mutant, Option<String>)> {
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
                    if by.is_none() {
                        eprintln!("survives: {}", mutant.name);
                    }
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

/// The first schedule that finds a mutant: calm runs, then seeds, then single faults.
pub(crate) fn find(mutant: &Mutant) -> Option<String> {
    for plan in scenes(Size::Full, 4) {
        if let Some(text) = broken(&plan, mutant) {
            return Some(format!("no fault, {:?}: {text}", plan.scene.kind));
        }
    }
    for seed in 0..SEEDS_MAX {
        if let Some(text) = broken(&FaultPlan::of(seed), mutant) {
            return Some(format!("seed {seed}: {text}"));
        }
    }
    for plan in scenes(Size::Reduced, 4) {
        let actions = run(&plan, mutant, Keep::default(), None).actions;
        for at in 0..actions {
            for fault in Fault::ALL {
                let mut plan = plan.clone();
                plan.faults.push(Planned { at, fault });
                if let Some(text) = broken(&plan, mutant) {
                    return Some(format!("{fault:?} at {at}: {text}"));
                }
            }
        }
    }
    None
}

fn broken(plan: &FaultPlan, mutant: &Mutant) -> Option<String> {
    let violation = run(plan, mutant, Keep::default(), None).violation?;
    // A schedule that breaks the protocol itself finds nobody.
    if run(plan, &Mutant::NONE, Keep::default(), None).violation.is_some() {
        return None;
    }
    Some(format!("{} {}", violation.rule, violation.what.chars().take(90).collect::<String>()))
}
