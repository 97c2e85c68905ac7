//! `needle` beside `aho-corasick`, on source code and on the memory of a process.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod data;

use std::hint::black_box;

use aho_corasick::AhoCorasick;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn find(criterion: &mut Criterion) {
    let (whose, memory) = data::process_memory();
    let source = data::source();
    eprintln!(
        "{} MB of source, {} MB of the memory of {whose}",
        source.len() / 1_000_000,
        memory.len() / 1_000_000
    );
    for (kind, haystack) in [("source", &source), ("memory", &memory)] {
        let mut group = criterion.benchmark_group(kind);
        group.sample_size(10).throughput(Throughput::Bytes(haystack.len() as u64));
        for count in [100, 1000, 10_000] {
            let needles = data::needles(&data::values(count), false);
            group.bench_function(format!("{count} values in all encodings"), |bencher| {
                bencher.iter(|| {
                    let mut hits = 0;
                    needles.find(black_box(haystack), &mut |_| hits += 1);
                    hits
                });
            });
        }
        // The plain values alone: a tenth of the patterns that `needle` has above.
        let automaton = AhoCorasick::new(data::values(1000)).expect("automaton");
        group.bench_function("1000 values, plain, aho-corasick", |bencher| {
            bencher.iter(|| automaton.find_iter(black_box(haystack)).count());
        });
        group.finish();
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
