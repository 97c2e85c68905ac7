//! A disk that answers a sync with success and makes nothing durable. No program can notice that before the power fails;
//! afterwards nobody may act on what was lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::Fault;
use crate::drive::drive;
use crate::image::{Left, draw};
use crate::{begin, calm, each, folder_at, judge, plans, written};

/// Power failures at drawn moments after the lie.
const POWER_FAILURES: usize = 3;

#[test]
fn a_journal_that_lost_what_its_witness_saw_is_refused() {
    let script = begin();
    let calm = calm(&script);
    let plans = plans(&calm, |_, fault| fault == Fault::Lie);
    let (refused, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
    each(&plans, |plan| {
        let (_folder, path) = judge::scratch();
        let told = |wrong| format!("{plan:?}, {:?}: {wrong}", calm.disk.calls()[plan.at]);
        let run = drive(&script, &path, Some(*plan)).map_err(told)?;
        let lied = run.moments.iter().rev().find(|moment| moment.calls <= plan.at);
        let (first, end) = (lied.map_or(0, |moment| moment.changes), run.disk.now());
        let (mut seed, worlds) = (plan.at as u64, run.worlds());
        for number in 0..POWER_FAILURES {
            let drawn = first + draw(&mut seed) as usize % (end - first + 1);
            let changes = if number == 0 { end } else { drawn };
            let folder = folder_at(&run, changes);
            for left in [Left::Nothing, Left::Drawn(draw(&mut seed))] {
                let (_guard, path) = written(&folder.left(left));
                let judged = judge::is_refused_or_older(&script, &path, &worlds);
                let why = |wrong| told(format!("crash after change {changes}, {left:?}: {wrong}"));
                let count = if judged.map_err(why)? { &refused } else { &opened };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    let (refused, opened) = (refused.into_inner(), opened.into_inner());
    println!(
        "{} runs with a sync that lies; after the power failures {opened} opened, {refused} refused",
        plans.len()
    );
    assert!(refused > 0 && opened > 0, "one of the two was never seen");
}
