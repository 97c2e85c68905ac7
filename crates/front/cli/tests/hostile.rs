//! Bad input and bad days, with the shipped program: keyroll refuses or survives each, with the right exit code and the
//! next command. If it refuses, nothing was changed.

pub(crate) mod back;
pub(crate) mod bystanders;
pub(crate) mod corrected;
pub(crate) mod days;
pub(crate) mod disk;
pub(crate) mod drift;
pub(crate) mod formats;
pub(crate) mod hand;
pub(crate) mod input;
pub(crate) mod live;
pub(crate) mod moods;
pub(crate) mod ran;
pub(crate) mod refused;
pub(crate) mod scene;
pub(crate) mod stale;
pub(crate) mod trust;
pub(crate) mod ways_out;
pub(crate) mod word;
pub(crate) mod worker;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

/// A name and what it does.
pub type Case = (&'static str, fn());

/// Cases at the same time: nearly all of a rotation is waiting.
const LANES: usize = 5;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

/// Runs cases beside each other, each with its own folders, issuer and worker. `KEYROLL_CASE` chooses some by a part
/// of their name.
fn ring(cases: &[Case]) {
    let chosen = std::env::var("KEYROLL_CASE").unwrap_or_default();
    let wanted = cases.iter().filter(|(name, _)| name.contains(&chosen)).copied();
    let left: Mutex<VecDeque<Case>> = Mutex::new(wanted.collect());
    let failed: Mutex<Vec<&str>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some((name, case)) = next else { return };
                    let began = Instant::now();
                    let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
                    let word = if passed { "passed" } else { "FAILED" };
                    println!("{word} in {:4.1} s: {name}", began.elapsed().as_secs_f64());
                    if !passed {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

#[test]
fn input_that_cannot_be() {
    ring(input::CASES);
}

#[test]
fn an_issuer_with_moods() {
    ring(moods::CASES);
}

#[test]
fn keys_made_by_hand() {
    ring(hand::CASES);
}

#[test]
fn disks_that_fail() {
    ring(disk::CASES);
}

#[test]
fn plans_that_are_not_true_any_more() {
    ring(stale::CASES);
}

#[test]
fn bad_days_of_the_machine() {
    ring(days::CASES);
}

#[test]
fn others_at_work() {
    ring(drift::CASES);
}

#[test]
fn an_edit_made_meanwhile_is_not_made_live() {
    ring(live::CASES);
}

#[test]
fn the_way_back() {
    ring(back::CASES);
}

#[test]
fn state_and_configuration_of_others() {
    ring(trust::CASES);
}

#[test]
fn a_refused_use_of_the_old_key() {
    ring(refused::CASES);
}

#[test]
fn a_persons_word() {
    ring(word::CASES);
}

#[test]
fn values_inside_structured_files() {
    ring(formats::CASES);
}

#[test]
fn commands_that_were_wrong() {
    ring(corrected::CASES);
}

#[test]
fn ways_out_of_a_rotation_that_waits() {
    ring(ways_out::CASES);
}

#[test]
fn processes_that_may_hold_the_value() {
    ring(bystanders::CASES);
}
