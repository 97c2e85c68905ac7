//! A rotation over 10,000 hosts in the protocol alone: how long its journal takes to fold, and how long single steps and the
//! gate take. Prints one line of JSON. `cargo bench -p keyroll-rotation --bench fleet -- 2000` takes 2,000 hosts.
#![allow(missing_docs)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use keyroll_rotation::{Event, Fact, Phase, State, Which, blockers, step, wants};

#[path = "../tests/fleet/mod.rs"]
mod fleet;

use crate::fleet::{Fleet, asks_the_gate, fold, opened, plan};

/// So many hosts, unless others are asked for.
const HOSTS: u16 = 10_000;

/// The gate is asked so many times.
const GATE_RUNS: usize = 21;

fn main() {
    // Cargo adds options of its own.
    let hosts = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(HOSTS);
    let driving = Instant::now();
    let fleet = Fleet::rotated(hosts);
    let driven = driving.elapsed();
    let fold_s = (0..3).map(|_| fold_once(hosts, &fleet.events)).min().unwrap_or_default();
    let steps = steps(hosts, &fleet.events);
    let (gate, wanted) = gate(hosts, &fleet.events);
    let mut parts = Vec::new();
    for (part, mut times) in steps {
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let (count, median, worst) = (times.len(), micros(median), micros(worst));
        parts.push(format!(
            "\"{part}\":{{\"steps\":{count},\"median_us\":{median:.1},\"worst_us\":{worst:.1}}}"
        ));
    }
    println!(
        "{{\"events\":{},\"hosts\":{hosts},\"drive_s\":{:.3},\"fold_s\":{:.3},{},\"gate_ms\":{:.3},\"wants_at_gate_ms\":{:.3}}}",
        fleet.events.len(),
        driven.as_secs_f64(),
        fold_s.as_secs_f64(),
        parts.join(","),
        micros(gate) / 1_000.0,
        micros(wanted) / 1_000.0,
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

/// How long it takes to fold all entries.
fn fold_once(hosts: u16, events: &[Event]) -> Duration {
    let mut state = opened(plan(hosts));
    let begun = Instant::now();
    for event in events {
        state = step(&state, event).unwrap().0;
    }
    let took = begun.elapsed();
    assert_eq!(black_box(state).phase(), Phase::Done);
    took
}

/// How long each step takes, without the drop of the state before it, by where it is made. A look of all instances is apart,
/// and so is what asks the gate.
fn steps(hosts: u16, events: &[Event]) -> BTreeMap<&'static str, Vec<Duration>> {
    let mut times: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut state = opened(plan(hosts));
    for event in events {
        let begun = Instant::now();
        let next = step(&state, event).unwrap().0;
        let took = begun.elapsed();
        let part = match (&event.fact, state.phase()) {
            (Fact::Enumerated(_), _) => "look",
            (_, Phase::Roll) => "roll",
            (_, phase) if asks_the_gate(phase) => "at_gate",
            (_, Phase::Soak | Phase::ConfirmDead | Phase::Done) => "after_gate",
            _ => "before_roll",
        };
        times.entry(part).or_default().push(took);
        state = next;
    }
    times
}

/// How long the gate takes, and what is wanted there, on the last look before the consent: the medians.
fn gate(hosts: u16, events: &[Event]) -> (Duration, Duration) {
    let mut at_gate: Option<State> = None;
    fold(plan(hosts), events, |_, _, after| {
        if after.phase() == Phase::Decide && after.look().is_some() {
            at_gate = Some(after.clone());
        }
    });
    let state = at_gate.expect("a look in Decide");
    let look = state.look().expect("a look");
    let gate = median(|| assert!(blockers(black_box(&state), look, Which::New).is_empty()));
    let wanted = median(|| assert!(!wants(black_box(&state)).is_empty()));
    (gate, wanted)
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..GATE_RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[GATE_RUNS / 2]
}
