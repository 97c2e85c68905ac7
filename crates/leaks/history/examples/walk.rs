//! Measures a scan of a repository, compared with git's own walk: `walk FOLDER [THREADS [ROUNDS]]`.
//!
//! The inspector only reads every byte of the windows, the least that a search must do. The last lines are the peak
//! memory, and the time of `git cat-file --batch-all-objects --batch --unordered`, once with git's default memory for
//! delta bases and once with as much as it can use.

#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use keyroll_history::{Blob, Bounds, History, Hit, HitSink, Inspector, ObjectId, ObjectKind};

/// Reads the windows, and reports a hit in about one blob of five hundred.
#[derive(Default)]
struct Reads {
    zeros: AtomicU64,
}

impl Inspector for Reads {
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        let mut zeros = 0;
        for window in blob.windows {
            zeros += memchr::memchr_iter(0, &blob.bytes[window.clone()]).count() as u64;
        }
        self.zeros.fetch_add(zeros, Ordering::Relaxed);
        if blob.kind == ObjectKind::Blob && blob.id.as_bytes()[0] == 7 && blob.id.as_bytes()[1] < 128 {
            hits.push(Hit { span: 0..1, tag: 0 });
        }
    }
}

#[derive(Default)]
struct Kept(Mutex<HashSet<ObjectId>>);

impl HitSink for Kept {
    fn found(&self, blob: &Blob<'_>, _: &[Hit]) {
        self.0.lock().unwrap().insert(blob.id);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = arguments.get(1).expect("walk FOLDER [THREADS [ROUNDS]]");
    let mut bounds = Bounds::default();
    if let Some(threads) = arguments.get(2) {
        bounds.workers = threads.parse().unwrap();
    }
    let rounds = arguments.get(3).map_or(3, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let (start, before) = (Instant::now(), cpu().0);
        let (look, kept) = (Reads::default(), Kept::default());
        let history = History::open(Path::new(folder)).unwrap();
        let seen = history.scan(&look, &kept, &bounds);
        println!(
            "walk: {:.2} s, CPU {:.2} s, {} blobs, {} messages, {:.1} MB, windows {:.1} MB ({:.1} times less), {} skipped",
            start.elapsed().as_secs_f64(),
            cpu().0 - before,
            seen.blobs,
            seen.messages,
            seen.bytes as f64 / 1e6,
            seen.window_bytes as f64 / 1e6,
            seen.bytes as f64 / seen.window_bytes.max(1) as f64,
            seen.skipped.named.len()
        );
        println!("      peak {}", peak());
        if round == 0 {
            let start = Instant::now();
            let wanted = kept.0.into_inner().unwrap();
            let found = history.origins(&wanted, &|_| false);
            println!(
                "where from: {:.2} s, {} objects, {} places, peak {}",
                start.elapsed().as_secs_f64(),
                wanted.len(),
                found.objects.values().map(|found| found.origins.len()).sum::<usize>(),
                peak()
            );
        }
        for cache in ["96m", "4g"] {
            let (start, before) = (Instant::now(), cpu().1);
            let status = Command::new("git")
                .args(["-c", &format!("core.deltaBaseCacheLimit={cache}"), "-C", folder, "cat-file"])
                .args(["--batch-all-objects", "--batch", "--unordered"])
                .stdout(Stdio::null())
                .status()
                .unwrap();
            let cpu = cpu().1 - before;
            println!(
                "git cat-file, {cache} for bases: {:.2} s, CPU {cpu:.2} s ({status})",
                start.elapsed().as_secs_f64()
            );
        }
    }
}

/// The processor seconds so far, of this process and of the children that it has waited for.
fn cpu() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind = stat.rsplit_once(") ").unwrap().1;
    let times: Vec<f64> = behind.split(' ').skip(11).take(4).map(|ticks| ticks.parse().unwrap()).collect();
    // A hundred ticks a second, as everywhere on Linux.
    ((times[0] + times[1]) / 100.0, (times[2] + times[3]) / 100.0)
}

/// The peak memory of this process.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned()
}
