//! The real journal, its witness, the lock and the real sealed store on a disk that fails: at every call of one rotation,
//! in every way, and with a power failure after every change.
//!
//! What is acknowledged is never lost; nobody acts on what was lost; the error says what is true of the effect; when the
//! fault is over, the same call succeeds, or the next process does.
//!
//! `KEYROLL_FAULTS=all` tries every combination; without it, a part of them, always the same: the first fault of each kind
//! at each kind of call on each file, one of so many others, and a power failure after every change.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod disk;
mod drive;
mod faults;
mod image;
mod judge;
mod lies;
mod older;
mod power;
mod script;
mod syscalls;
mod vfs;

use std::collections::BTreeMap;
use std::panic;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;

use crate::disk::{Call, Fault, Plan};
use crate::drive::{Run, drive};
use crate::image::{Folder, Left, put};
use crate::script::Script;

/// How many violations are printed.
const SHOWN_MAX: usize = 12;

/// Every so many faults also last until a step has failed.
const LASTING: usize = 5;

/// Whether every combination is tried.
fn all() -> bool {
    std::env::var("KEYROLL_FAULTS").is_ok_and(|word| word == "all")
}

/// Panics of the threads of journal and store so far.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn begin() -> Script {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let thread = thread::current();
            if matches!(thread.name(), Some("journal-writer" | "journal-reader" | "sealed-store")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(panicked);
        }));
        vfs::install();
    });
    Script::new()
}

/// Tries each case on all processors; fails with what keyroll did wrong.
fn each<T: Sync>(cases: &[T], try_one: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = try_one(case) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    for why in wrong.iter().take(SHOWN_MAX) {
        println!("WRONG: {why}");
    }
    assert!(wrong.is_empty(), "{} of {} cases are wrong", wrong.len(), cases.len());
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a thread panicked");
}

/// The run in which nothing fails.
fn calm(script: &Script) -> Run {
    let (_folder, path) = judge::scratch();
    drive(script, &path, None).unwrap_or_else(|wrong| panic!("without a fault: {wrong}"))
}

/// The folder after so many changes of a run.
fn folder_at(run: &Run, changes: usize) -> Folder {
    let mut folder = Folder::default();
    run.disk.changes().iter().take(changes).for_each(|change| folder.apply(change));
    folder
}

/// Puts an image into a folder of its own.
fn written(files: &BTreeMap<PathBuf, Vec<u8>>) -> (tempfile::TempDir, PathBuf) {
    let (guard, path) = judge::scratch();
    put(&path, files);
    (guard, path)
}

/// Every plan for a fault at a call of the run in which nothing fails.
fn plans(calm: &Run, wanted: impl Fn(Call, Fault) -> bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (at, (call, _)) in calm.disk.calls().iter().enumerate() {
        for (number, fault) in call.faults().iter().enumerate().filter(|(_, fault)| wanted(*call, **fault)) {
            plans.push(Plan { at, fault: *fault, lasts: false });
            // Its lasting form is tried in turn.
            if all() || (at + number).is_multiple_of(LASTING) {
                plans.push(Plan { at, fault: *fault, lasts: true });
            }
        }
    }
    plans
}

/// A power failure after so many changes.
fn crash(script: &Script, run: &Run, folder: &Folder, changes: usize, left: Left) -> Result<(), String> {
    let (_guard, path) = written(&folder.left(left));
    let moment = run.moment(changes);
    judge::opens(script, &path, &moment.world, moment.step)
        .map(drop)
        .map_err(|wrong| format!("crash after change {changes} ({:?}), {left:?}: {wrong}", moment.step))
}
