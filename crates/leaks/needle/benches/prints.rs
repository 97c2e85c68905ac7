//! Fingerprints compared with the values themselves, on source code and on the memory of a process.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod data;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyroll_needle::{FingerprintLabel, FingerprintSet, FingerprintState};
use keyroll_secret::SecretBytes;

/// How many of the values can have fingerprints: some are passwords, and refused.
fn prints(count: usize) -> (FingerprintSet, Vec<Vec<u8>>) {
    let mut builder = FingerprintSet::builder().expect("random numbers");
    let mut printed = Vec::new();
    for value in data::values(2 * count) {
        let label = FingerprintLabel {
            name: format!("secret-{}", printed.len()),
            version: 1,
            state: FingerprintState::Current,
        };
        if printed.len() < count && builder.add(label, &SecretBytes::new(value.clone())).is_ok() {
            printed.push(value);
        }
    }
    assert_eq!(printed.len(), count);
    (builder.build(), printed)
}

fn find(criterion: &mut Criterion) {
    let (whose, memory) = data::process_memory();
    let source = data::source();
    eprintln!(
        "{} MB of source, {} MB of the memory of {whose}",
        source.len() / 1_000_000,
        memory.len() / 1_000_000
    );
    for (kind, haystack) in [("source", &source), ("memory", &memory)] {
        let mut group = criterion.benchmark_group(format!("{kind}, by print"));
        group.sample_size(10).throughput(Throughput::Bytes(haystack.len() as u64));
        for count in [100, 1000, 10_000] {
            let (prints, values) = prints(count);
            let hits = |find: &dyn Fn(&mut u32)| {
                let mut hits = 0;
                find(&mut hits);
                hits
            };
            group.bench_function(format!("{count} prints"), |bencher| {
                bencher.iter(|| hits(&|hits| prints.find(black_box(haystack), &mut |_| *hits += 1)));
            });
            if count == 1000 {
                group.bench_function(format!("{count} prints, across breaks"), |bencher| {
                    bencher
                        .iter(|| hits(&|hits| prints.find_across(black_box(haystack), &mut |_| *hits += 1)));
                });
                let needles = data::needles(&values, false);
                group.bench_function(format!("{count} values in all encodings"), |bencher| {
                    bencher.iter(|| hits(&|hits| needles.find(black_box(haystack), &mut |_| *hits += 1)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
