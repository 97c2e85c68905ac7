//! Measures `needle` beside `aho-corasick` on this machine, and prints one line of JSON.
//!
//! Speeds are GB (10⁹ bytes) per second of one core's own time (the thread's CPU clock, so other work on the machine
//! counts little), the best of several runs. `ratio` is the speed of
//! `needle` over that of `aho-corasick`, both with 1,000 values in their encodings
//! (`needle` has a few forms more: see `forms_1000` and `aho_forms_1000`); `ratio_plain` with the plain
//! values alone, where `aho-corasick` may also be a forced DFA. `planted` values in random encodings at random places, `found` again.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../benches/data/mod.rs"]
mod data;

use std::hint::black_box;

use std::sync::Arc;

use aho_corasick::AhoCorasick;
use keyroll_needle::{Needles, Redactor};
use rustix::time::{ClockId, clock_gettime};

const RUNS: usize = 7;

/// The time that this thread has spent on a core.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The least disturbed of several runs, in GB/s.
fn speed(haystack: &[u8], runs: usize, search: impl Fn(&[u8]) -> usize) -> f64 {
    let seconds = (0..runs).map(|_| {
        let start = cpu_seconds();
        black_box(search(black_box(haystack)));
        cpu_seconds() - start
    });
    haystack.len() as f64 / 1e9 / seconds.fold(f64::INFINITY, f64::min)
}

fn count(needles: &Needles, haystack: &[u8]) -> usize {
    let mut hits = 0;
    needles.find(haystack, &mut |_| hits += 1);
    hits
}

/// `aho-corasick`'s own choice of automaton, and the faster of its choice and a forced DFA where that fits memory.
fn aho(patterns: &[Vec<u8>], haystack: &[u8], force_dfa: bool) -> f64 {
    let chosen = AhoCorasick::new(patterns).expect("automaton");
    let best = speed(haystack, 2, |haystack| chosen.find_iter(haystack).count());
    if !force_dfa {
        return best;
    }
    let dfa = AhoCorasick::builder().kind(Some(aho_corasick::AhoCorasickKind::DFA)).build(patterns);
    dfa.map_or(best, |dfa| best.max(speed(haystack, 2, |haystack| dfa.find_iter(haystack).count())))
}

/// The main encodings of every value, made here and not by the engine: what any scanner would have to look for.
fn encoded(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let mut all = Vec::new();
    for value in values {
        all.push(value.clone());
        for before in 0..3 {
            let padded = [&vec![0; before], value.as_slice()].concat();
            let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&padded);
            all.push(text.as_bytes()[(before * 8).div_ceil(6)..padded.len() * 8 / 6].to_vec());
        }
        all.push(value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
        all.push(value.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect());
        all.push(value.iter().flat_map(|byte| [*byte, 0]).collect());
        all.push(value.iter().flat_map(|byte| [0, *byte]).collect());
        (0..5).for_each(|before| all.push(base32(value, before)));
    }
    all
}

/// The digits of base32 that the value alone determines with `before` bytes before it.
fn base32(value: &[u8], before: usize) -> Vec<u8> {
    let bits: Vec<u8> = value.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let skipped = (5 - before * 8 % 5) % 5;
    let digit = |bits: &[u8]| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit))]
    };
    bits[skipped..].chunks_exact(5).map(digit).collect()
}

/// Writes encodings of values over the data, and counts how many are found.
fn planted(needles: &Needles, values: &[Vec<u8>], data: &[u8]) -> (usize, usize) {
    let forms = encoded(values);
    let mut data = data.to_vec();
    let before = count(needles, &data);
    let mut random = data::Random(3);
    let room = 4096;
    let mut planted = 0;
    for place in 0..1000.min(data.len() / room) {
        let form = &forms[random.next() as usize % forms.len()];
        let start = place * room + random.next() as usize % (room - 256);
        data[start..start + form.len()].copy_from_slice(form);
        planted += 1;
    }
    let mut places = Vec::new();
    needles.find(&data, &mut |hit| places.push(hit.start / room));
    places.sort_unstable();
    places.dedup();
    (planted, places.len().saturating_sub(before))
}

fn main() {
    let (whose, memory) = data::process_memory();
    let source = data::source();
    let (hundred, thousand) = (data::values(100), data::values(1000));
    let short: Vec<Vec<u8>> = hundred.iter().map(|value| value[value.len() - 8..].to_vec()).collect();
    let short = data::needles(&short, false);
    let few = data::needles(&hundred, false);
    let start = cpu_seconds();
    let many = data::needles(&thousand, false);
    let build_ms = (cpu_seconds() - start) * 1e3;
    let plain = data::needles(&thousand, true);
    let forms = encoded(&thousand);
    let (planted, found) = planted(&many, &thousand, &memory);
    let mut line = format!(
        r#"{{"runs":{RUNS},"memory_of":"{whose}","values_bytes_min":16,"forms_100":{},"forms_1000":{},"aho_forms_1000":{},"build_1000_ms":{build_ms:.0},"planted":{planted},"found":{found}"#,
        few.forms(),
        many.forms(),
        forms.len(),
    );
    for (kind, haystack) in [("source", &source), ("memory", &memory)] {
        let gbps_100 = speed(haystack, RUNS, |haystack| count(&few, haystack));
        let gbps_1000 = speed(haystack, RUNS, |haystack| count(&many, haystack));
        let gbps_plain = speed(haystack, RUNS, |haystack| count(&plain, haystack));
        let aho_1000 = aho(&forms, haystack, false);
        let aho_plain = aho(&thousand, haystack, true);
        line += &format!(
            r#","{kind}_bytes":{},"{kind}_gbps_100":{gbps_100:.2},"{kind}_gbps_1000":{gbps_1000:.2},"{kind}_aho_gbps_1000":{aho_1000:.3},"{kind}_ratio":{:.1},"{kind}_gbps_plain_1000":{gbps_plain:.2},"{kind}_aho_gbps_plain_1000":{aho_plain:.3},"{kind}_ratio_plain":{:.1}"#,
            haystack.len(),
            gbps_1000 / aho_1000,
            gbps_plain / aho_plain,
        );
    }
    let short = speed(&source, RUNS, |source| count(&short, source));
    let most = data::needles(&data::values(6000), true);
    let most = speed(&source, RUNS, |source| count(&most, source));
    let many = Arc::new(many);
    let redacting = speed(&source, RUNS, |source| {
        let mut redactor = Redactor::new(Arc::clone(&many));
        let mut out = Vec::new();
        let piece = |chunk: &[u8]| {
            out.clear();
            redactor.push(chunk, &mut out);
            out.len()
        };
        source.chunks(64 * 1024).map(piece).sum()
    });
    println!(
        r#"{line},"source_gbps_100_of_8_bytes":{short:.2},"source_gbps_plain_6000":{most:.2},"redactor_gbps_1000":{redacting:.2}}}"#
    );
}
