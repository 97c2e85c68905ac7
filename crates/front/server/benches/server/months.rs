//! How long a server takes to start with the journal of many months, and how long `keyroll status` takes. A long journal
//! is read whole by the first start after it was filled, and not by the others.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::ended::Ended;
use crate::figure::{Spread, judged, seconds};
use crate::scene::Scene;

/// Secrets that are rotated at the same time while the journal is written: as many as the journal commits together.
const LANES: u64 = 256;

/// How often each is measured; the median is shown.
const STARTS: usize = 3;

/// From the start of the process to the first answer.
const START_MAX: Duration = Duration::from_secs(2);

/// Measures with so many ended rotations, smallest first; one journal grows.
pub fn run(program: &Path, sizes: &[u64]) {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    let mut scene = Scene::start(program, 1);
    let real = Ended::of(&scene);
    println!("ended rotations in the journal, {} entries each, medians of {STARTS}", real.entries());
    let mut there = 1;
    for size in sizes {
        let begun = Instant::now();
        if size > there {
            real.write(&(there..size), LANES);
            there = size;
        }
        let written = begun.elapsed();
        let bytes = fs::metadata(scene.state().join("journal.db")).unwrap().len();
        let first = started(&mut scene);
        let start = Spread::of((0..STARTS).map(|_| started(&mut scene))).median;
        let status = Spread::of((0..STARTS).map(|_| status(&scene))).median;
        println!(
            "  {there}: journal.db {} MB, written in {}; keyroll serve until /health {} (limit {}: {}), the \
             first one, which reads all of it, {}; keyroll status {}",
            bytes / 1_000_000,
            seconds(written),
            seconds(start),
            seconds(START_MAX),
            judged(start, START_MAX),
            seconds(first),
            seconds(status),
        );
    }
}

fn started(scene: &mut Scene) -> Duration {
    let took = scene.serve();
    scene.stop();
    took
}

fn status(scene: &Scene) -> Duration {
    let begun = Instant::now();
    let ran = scene.run(&["status"]);
    let took = begun.elapsed();
    assert!(!ran.exits(0).of("status").is_empty(), "{}", ran.text());
    took
}
