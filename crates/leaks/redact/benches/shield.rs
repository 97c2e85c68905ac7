//! The cost of a stream compared with a copy of the same bytes: clean text in pieces as pipes give them, 1,000 values
//! in all encodings, alone and with all rules.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../needle/benches/data/mod.rs"]
mod data;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyroll_leak::Rules;
use keyroll_redact::{Patterns, RedactingStream};

/// The size of one read from a pipe, bytes.
const PIECE_BYTES: usize = 64 * 1024;

fn shield(criterion: &mut Criterion) {
    let source = data::source();
    let needles = Arc::new(data::needles(&data::values(1000), false));
    let mut group = criterion.benchmark_group("shield");
    group.sample_size(10).throughput(Throughput::Bytes(source.len() as u64));
    let rules = Rules::shipped().expect("rules");
    for (name, rules) in [("1000 values", None), ("1000 values and all rules", Some(rules))] {
        let patterns = Patterns::new(Arc::clone(&needles), rules);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut shield = RedactingStream::new(&patterns);
                through(&source, |piece, out| shield.push(piece, out))
            });
        });
    }
    group.bench_function("copied", |bencher| {
        bencher.iter(|| through(&source, |piece, out| out.extend_from_slice(black_box(piece))));
    });
    group.finish();
}

/// The number of output bytes.
fn through(source: &[u8], mut push: impl FnMut(&[u8], &mut Vec<u8>)) -> usize {
    let mut out = Vec::with_capacity(2 * PIECE_BYTES);
    let mut length = 0;
    for piece in source.chunks(PIECE_BYTES) {
        push(piece, &mut out);
        length += out.len();
        out.clear();
    }
    length
}

criterion_group!(benches, shield);
criterion_main!(benches);
