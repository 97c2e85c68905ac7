//! Every row of docs/reference/managers.md, with the shipped program: a rotation while callers call the service at its
//! address, one that is rolled back, and one whose driver is killed while the service is being restarted or reloaded.
//!
//! An ordinary run rotates the rows that the page calls *each*, and [`ON_ALL_COURSES`] in all three ways;
//! `KEYROLL_MATRIX=full` runs all rows and courses; any other word selects the rows whose name contains it.

pub(crate) mod courses;
pub(crate) mod place;
pub(crate) mod rows;
pub(crate) mod serve;

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use keyroll_manager::manager_facts;

use courses::{Course, run};
use rows::{ROWS, Row};

use crate::hostile::worker;

/// Rows at the same time: nearly all of a rotation is waiting.
const LANES: usize = 5;

/// systemd, which most machines have: in every run it is also rolled back, and keyroll killed.
const ON_ALL_COURSES: &str = "unit-environment";

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    match std::env::var(worker::PART) {
        Ok(text) if text.starts_with("serve ") => serve::play(&text),
        Ok(_) | Err(_) => worker::play(),
    }
}

#[test]
fn the_page_names_these_rows() {
    let named: BTreeSet<&str> = manager_facts().flat_map(|fact| fact.services).map(|one| one.name).collect();
    let there: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(named, there);
}

#[test]
fn every_manager_moves_its_service_under_load() {
    let chosen = std::env::var("KEYROLL_MATRIX").unwrap_or_default();
    let wanted: Vec<&Row> = match chosen.as_str() {
        "" => ROWS.iter().filter(|row| row.fact().daily).collect(),
        "full" => ROWS.iter().collect(),
        word => ROWS.iter().filter(|row| row.name.contains(word)).collect(),
    };
    let left: Mutex<VecDeque<&Row>> = Mutex::new(wanted.into());
    let failed: Mutex<Vec<&str>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some(row) = next else { return };
                    let began = Instant::now();
                    let all = !chosen.is_empty() || row.name == ON_ALL_COURSES;
                    let courses = if all { &Course::ALL[..] } else { &[Course::Load] };
                    let passed = catch_unwind(AssertUnwindSafe(|| run(row, courses)));
                    let seconds = began.elapsed().as_secs_f64();
                    match passed {
                        Ok(told) => println!("passed in {seconds:5.1} s: {}: {told}", row.name),
                        Err(_) => {
                            println!("FAILED in {seconds:5.1} s: {}", row.name);
                            failed.lock().unwrap().push(row.name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
