//! Whole rotations with the shipped specs, by the real binary, while two instances of a service are called a hundred
//! times a second. The issuer is a local one that answers as the spec expects; no vendor is contacted.

pub(crate) mod days;
pub(crate) mod pair;
pub(crate) mod part;
pub(crate) mod scene;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use days::{DAYS, DAYS_OF_A_NIGHT, Day};
use keyroll_issuer::{ISSUER_FACTS, IssuerFact};
use keyroll_testkit::issuer::Described;
use scene::spec_text;

/// Days at the same time: nearly all of a rotation is waiting.
const LANES: usize = 6;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

/// The page of issuers says which specs are rotated: those by which the local issuer can play a rotation.
fn plays(fact: &IssuerFact) -> bool {
    assert_eq!(Described::read(&spec_text(fact.name)).rotates_here(), fact.rotated, "{}", fact.name);
    fact.rotated
}

/// An issuer that makes and revokes keys by its API: its days pass every kind of request.
const ON_ALL_DAYS: &str = "openrouter";

/// One issuer of each mechanism, [`ON_ALL_DAYS`] on each of the days, the others on one of them; with
/// `KEYROLL_ISSUERS=all` every shipped one on all days, also with faults. `KEYROLL_CASE` chooses by a part of
/// `issuer: day`.
#[test]
fn issuers_under_load() {
    let all = std::env::var("KEYROLL_ISSUERS").is_ok_and(|which| which == "all");
    let chosen = std::env::var("KEYROLL_CASE").unwrap_or_default();
    let days: Vec<Day> = if all { [DAYS, DAYS_OF_A_NIGHT].concat() } else { DAYS.to_vec() };
    let facts = ISSUER_FACTS.iter().filter(|fact| (all || fact.every_run) && plays(fact));
    let cases = facts.enumerate().flat_map(|(at, fact)| {
        let whole = all || fact.name == ON_ALL_DAYS;
        let own = if whole { &days[..] } else { std::slice::from_ref(&days[at % days.len()]) };
        own.iter().map(move |day| (fact, *day))
    });
    let wanted = |(fact, (day, _)): &(&IssuerFact, Day)| format!("{}: {day}", fact.name).contains(&chosen);
    let left: Mutex<VecDeque<(&IssuerFact, Day)>> = Mutex::new(cases.filter(wanted).collect());
    let failed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some((fact, (day, case))) = next else { return };
                    let began = Instant::now();
                    let passed = catch_unwind(AssertUnwindSafe(|| case(fact.name))).is_ok();
                    let word = if passed { "passed" } else { "FAILED" };
                    println!("{word} in {:4.1} s: {}: {day}", began.elapsed().as_secs_f64(), fact.name);
                    if !passed {
                        failed.lock().unwrap().push(format!("{}: {day}", fact.name));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
