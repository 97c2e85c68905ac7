//! A fault at every call, of every kind.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::{Call, Fault, Plan};
use crate::drive::{Run, drive};
use crate::image::{Left, draw};
use crate::script::{Script, Step};
use crate::{all, begin, calm, crash, each, folder_at, judge, plans};

/// How many power failures at drawn moments follow each fault, if every combination is tried.
const DRAWN_MOMENTS: usize = 4;

/// Of so many faults one is tried, and the first of each kind, unless every combination is.
const FAULTS_EVERY: usize = 97;

/// The same while the log is moved.
const MOVED_FAULTS_EVERY: usize = 5;

/// One of so many plans, and the first of each kind of fault at each kind of call on each file.
fn some(calm: &Run, plans: Vec<Plan>, every: usize) -> Vec<Plan> {
    let calls = calm.disk.calls();
    let mut kinds = BTreeSet::new();
    let mut is_new = |plan: &Plan| kinds.insert((calls[plan.at].clone(), plan.fault, plan.lasts));
    let wanted = |(at, plan): &(usize, Plan)| is_new(plan) | all() | at.is_multiple_of(every);
    plans.into_iter().enumerate().filter(wanted).map(|(_, plan)| plan).collect()
}

#[derive(Default)]
struct Counts {
    /// Runs in which no step failed.
    unseen: AtomicUsize,
    /// Processes that had to end before their time.
    restarts: AtomicUsize,
    power_failures: AtomicUsize,
}

#[test]
fn after_any_fault_at_any_call_nothing_acknowledged_is_lost() {
    let script = begin();
    let calm = calm(&script);
    let plans = plans(&calm, |_, fault| fault != Fault::Lie);
    try_all(&script, &calm, &some(&calm, plans, FAULTS_EVERY));
}

#[test]
fn a_fault_while_the_log_is_moved_loses_nothing() {
    begin();
    // With the last of these writes the writer moves the log: on the caller's thread, and on its own.
    for seq in [1, 2] {
        let script = Script::moves_its_log(seq);
        let calm = calm(&script);
        let of = |seq| calm.moments.iter().find(|moment| moment.step == Step::Append(seq)).unwrap();
        let during = of(seq).calls..of(seq + 1).calls;
        let moves = |(call, file): &(Call, String)| *call == Call::Sync && file == "state/journal.db";
        assert!(calm.disk.calls()[during.clone()].iter().any(moves), "the log is not moved");
        let plans = plans(&calm, |_, fault| fault != Fault::Lie);
        let plans: Vec<Plan> = plans.into_iter().filter(|plan| during.contains(&plan.at)).collect();
        try_all(&script, &calm, &some(&calm, plans, MOVED_FAULTS_EVERY));
    }
}

fn try_all(script: &Script, calm: &Run, plans: &[Plan]) {
    let counts = Counts::default();
    each(plans, |plan| {
        let met = &calm.disk.calls()[plan.at];
        try_one(script, plan, met, &counts).map_err(|wrong| format!("{plan:?}, {met:?}: {wrong}"))
    });
    println!(
        "{} calls, {} runs with a fault: {} without a failed step, {} processes ended early; {} power failures afterwards",
        calm.disk.calls().len(),
        plans.len(),
        counts.unseen.into_inner(),
        counts.restarts.into_inner(),
        counts.power_failures.into_inner(),
    );
}

fn try_one(script: &Script, plan: &Plan, met: &(Call, String), counts: &Counts) -> Result<(), String> {
    let (_folder, path) = judge::scratch();
    let run = drive(script, &path, Some(*plan))?;
    counts.restarts.fetch_add(run.restarts, Ordering::Relaxed);
    counts.unseen.fetch_add(usize::from(run.failed.is_none()), Ordering::Relaxed);
    if run.disk.met().as_ref() != Some(met) {
        return Err(format!("it met {:?}", run.disk.met()));
    }
    if !all() && !met.0.changes() {
        return Ok(());
    }
    // The power fails too: when the step has failed, and at the end.
    let (mut seed, end) = (plan.at as u64, run.disk.now());
    let failed = run.failed.unwrap_or(end);
    let mut moments = vec![failed, end];
    if all() {
        moments.extend([(); DRAWN_MOMENTS].map(|()| failed + draw(&mut seed) as usize % (end - failed + 1)));
    }
    for changes in moments {
        let folder = folder_at(&run, changes);
        let mut lefts = vec![Left::Nothing, Left::Drawn(draw(&mut seed))];
        if !all() {
            lefts.swap_remove(draw(&mut seed) as usize % lefts.len());
        }
        for left in lefts {
            counts.power_failures.fetch_add(1, Ordering::Relaxed);
            crash(script, &run, &folder, changes, left)?;
        }
    }
    Ok(())
}
