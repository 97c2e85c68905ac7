//! A power failure after every change of the disk, and after a kill.

use crate::disk::Disk;
use crate::image::{Folder, Left, draw, put};
use crate::script::Step;
use crate::{all, begin, calm, crash, each, judge, written};

/// A kill after every so many changes; with a prime number, every kind of change has its turn.
const KILL_EVERY: usize = 17;

/// After every so many changes, something of what was not durable is left.
const OTHERS_EVERY: usize = 3;

/// The folder after each change of a run, and before the first.
fn folders(run: &crate::drive::Run) -> Vec<Folder> {
    let mut folders = vec![Folder::default()];
    for change in run.disk.changes() {
        let mut next = folders[folders.len() - 1].clone();
        next.apply(&change);
        folders.push(next);
    }
    folders
}

#[test]
fn after_a_power_failure_at_any_change_nothing_acknowledged_is_lost() {
    let script = begin();
    let run = calm(&script);
    let folders = folders(&run);
    let (mut cases, mut seed) = (Vec::new(), 1);
    for (changes, folder) in folders.iter().enumerate() {
        let undecided = folder.undecided();
        let mut lefts = vec![Left::Nothing, Left::Everything];
        if all() {
            lefts.extend((0..undecided).flat_map(|one| [Left::AllBut(one), Left::Only(one)]));
            lefts.extend((0..undecided).map(|_| Left::Drawn(draw(&mut seed))));
        } else {
            if undecided > 1 {
                let one = draw(&mut seed) as usize % undecided;
                lefts.push(if changes % 2 == 0 { Left::AllBut(one) } else { Left::Only(one) });
                lefts.push(Left::Drawn(draw(&mut seed)));
            }
            // Nothing, after each change; after some also one of the others, drawn.
            let other = 1 + draw(&mut seed) as usize % (lefts.len() - 1);
            lefts.swap(1, other);
            lefts.truncate(if changes.is_multiple_of(OTHERS_EVERY) { 2 } else { 1 });
        }
        cases.extend(lefts.into_iter().map(|left| (changes, left)));
    }
    each(&cases, |(changes, left)| crash(&script, &run, &folders[*changes], *changes, *left));
    println!("{} changes, {} power failures", run.disk.now(), cases.len());
}

#[test]
fn what_the_next_process_reads_after_a_kill_is_durable() {
    let script = begin();
    let run = calm(&script);
    let folders = folders(&run);
    let step = if all() { 1 } else { KILL_EVERY };
    let cases: Vec<usize> = (0..folders.len()).step_by(step).collect();
    each(&cases, |changes| {
        let (killed, moment) = (&folders[*changes], run.moment(*changes));
        let told = |wrong| format!("killed after change {changes} ({:?}): {wrong}", moment.step);
        let (_guard, path) = judge::scratch();
        put(&path, &killed.left(Left::Everything));
        let disk = Disk::watch(&path, None);
        let reached = judge::opens(&script, &path, &moment.world, moment.step).map_err(told)?;
        let mut folder = killed.clone();
        disk.changes().iter().for_each(|change| folder.apply(change));
        for left in [Left::Nothing, Left::Drawn(*changes as u64)] {
            let (_guard, path) = written(&folder.left(left));
            let opened = judge::opens(&script, &path, &reached, Step::End);
            opened.map_err(|wrong| told(format!("then a power failure, {left:?}: {wrong}")))?;
        }
        Ok(())
    });
    println!("{} kills, with 2 power failures after the next process", cases.len());
}
