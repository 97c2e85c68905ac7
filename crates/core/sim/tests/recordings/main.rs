//! What the protocol and its driver do in recorded schedules: every action, with its time, and every answer.
//!
//! The invariants say what must never happen. They do not notice a protocol that asks once more, waits longer, or takes
//! another way to the same end; a recording does. A rotation that an older keyroll began is continued by this one, so
//! such a change is made on purpose: look at it, then write the recordings anew with `UPDATE_RECORDINGS=1`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll_sim::{FaultPlan, Keep, Mutant, run};

/// Recorded schedules that are drawn from a seed. Only of those from 1,200 on, some have a paced roll.
const SEEDS: u64 = 1_600;

/// Digests in one line.
const ROW: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The schedules by name: the kept plans, then the seeds.
fn schedules() -> Vec<(String, FaultPlan)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join("plans")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let kept = paths.into_iter().map(|path| {
        let plan = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), plan)
    });
    kept.chain((0..SEEDS).map(|seed| (format!("seed {seed}"), FaultPlan::of(seed)))).collect()
}

/// A digest of what happens in a schedule. FNV-1a: it is the same with every release of the compiler.
fn digest(plan: &FaultPlan) -> u64 {
    let report = run(plan, &Mutant::NONE, Keep { log: true, ..Keep::default() }, None);
    // A look in which every host answered is written as it was before looks named those that did not.
    let lines = report.log.iter().map(|line| line.replace("absent: [], ", ""));
    let text = lines.flat_map(|line| line.into_bytes().into_iter().chain([b'\n']));
    text.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn what_the_protocol_does_in_recorded_schedules_changes_only_on_purpose() {
    let schedules = schedules();
    let now: Vec<(String, u64)> = std::thread::scope(|scope| {
        let half = schedules.len().div_ceil(2);
        let parts: Vec<_> = schedules
            .chunks(half)
            .map(|part| {
                let each =
                    move || part.iter().map(|(name, plan)| (name.clone(), digest(plan))).collect::<Vec<_>>();
                scope.spawn(each)
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let file = folder().join("tests/recordings/digests.txt");
    if std::env::var_os("UPDATE_RECORDINGS").is_some() {
        let mut text = String::new();
        for row in now.chunks(ROW) {
            let row: Vec<String> = row.iter().map(|(_, digest)| format!("{digest:016x}")).collect();
            writeln!(text, "{}", row.join(" ")).unwrap();
        }
        return fs::write(file, text).unwrap();
    }
    let text = fs::read_to_string(file).unwrap();
    let kept: Vec<&str> = text.split_ascii_whitespace().collect();
    assert_eq!(kept.len(), now.len(), "other schedules than the recorded ones");
    let differ: Vec<&str> = now
        .iter()
        .zip(kept)
        .filter(|((_, now), kept)| format!("{now:016x}") != **kept)
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert!(
        differ.is_empty(),
        "{} schedules differ, the first are: {}",
        differ.len(),
        differ[..differ.len().min(5)].join(", ")
    );
}
