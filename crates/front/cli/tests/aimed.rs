//! The shipped program killed exactly between an effect and its outcome, for every kind of operation, before and after
//! the effect, in rotations and in rollbacks. Every rotation ends as the protocol says.

pub(crate) mod book;
pub(crate) mod gate;
pub(crate) mod kind;
pub(crate) mod lanes;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use kind::{Kind, When};
use lanes::{Lane, Tally, lanes};

use crate::kill::scene::program;
use crate::kill::{apart, trace};

/// Lanes at the same time: most of each is waiting.
const LANES_AT_ONCE: usize = 7;

/// Runs a lane, if this program was started as one: the program and the lane's name; how it ended.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let (program, name) = words.split_once(' ').unwrap();
    let lane = lanes().into_iter().find(|lane| lane.name == name).unwrap();
    fs::write(report, lane.run(Path::new(program)).unwrap_or_default()).unwrap();
}

#[test]
fn killed_between_every_effect_and_its_outcome() {
    let works = trace::works();
    assert!(works || std::env::var("CI").is_err(), "strace cannot trace in CI");
    if !works {
        eprintln!("left out: strace is not installed or may not trace");
        return;
    }
    let (_folder, program) = program();
    let chosen = std::env::var("KEYROLL_LANE").unwrap_or_default();
    let left: Mutex<Vec<Lane>> =
        Mutex::new(lanes().into_iter().rev().filter(|lane| lane.name.contains(&chosen)).collect());
    let (tally, failed) = (Mutex::new(Tally::new()), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..LANES_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop();
                    let Some(lane) = next else { return };
                    let since = Instant::now();
                    let report = apart::run("aimed::lane", &format!("{} {}", program.display(), lane.name));
                    let word = if report.is_ok() { "ended well" } else { "FAILED" };
                    println!("{word} in {:.0} s: {}", since.elapsed().as_secs_f64(), lane.name);
                    match report {
                        Ok(end) if end.is_empty() => {}
                        Ok(end) => lane.count(end, &mut tally.lock().unwrap()),
                        Err(why) => failed.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    show(&tally);
    println!("in {:.0} s", began.elapsed().as_secs_f64());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: {failed:?}");
    let postgres = tally.keys().any(|(http, ..)| !http);
    assert!(postgres || std::env::var("CI").is_err(), "PostgreSQL is missing in CI");
    if chosen.is_empty() {
        let missing = owed(postgres).into_iter().filter(|row| !tally.contains_key(row)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "nobody was killed at (http, kind, when): {missing:?}");
    }
}

/// Every row that the table must have.
fn owed(postgres: bool) -> Vec<(bool, Kind, When)> {
    let mut all = Vec::new();
    for http in [true, false].into_iter().filter(|http| *http || postgres) {
        let mut kind = Some(Kind::Choose);
        while let Some(one) = kind {
            all.extend(one.owed(http).iter().map(|when| (http, one, *when)));
            kind = one.next();
        }
    }
    all
}

fn show(tally: &Tally) {
    println!("{:<12} {:<16} {:<7} {:>5}  ends", "issuer", "kind", "when", "kills");
    let mut kills = 0;
    for ((http, kind, when), ends) in tally {
        let issuer = if *http { "HTTP" } else { "PostgreSQL" };
        let count: usize = ends.values().sum();
        kills += count;
        let ends: BTreeMap<_, _> = ends.iter().collect();
        let (kind, when) = (format!("{kind:?}"), format!("{when:?}").to_lowercase());
        println!("{issuer:<12} {kind:<16} {when:<7} {count:>5}  {ends:?}");
    }
    println!("{kills} aimed kills");
}
