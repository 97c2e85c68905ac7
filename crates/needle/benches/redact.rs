//! The redactor beside a copy of the same bytes: clean text in pieces as pipes give them, 1,000 values in all encodings.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod data;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyroll_needle::Redactor;

/// What one read of a pipe gives, bytes.
const PIECE_BYTES: usize = 64 * 1024;

fn redact(criterion: &mut Criterion) {
    let source = data::source();
    let needles = Arc::new(data::needles(&data::values(1000), false));
    let mut group = criterion.benchmark_group("redact");
    group.sample_size(10).throughput(Throughput::Bytes(source.len() as u64));
    group.bench_function("1000 values in all encodings", |bencher| {
        bencher.iter(|| {
            let mut redactor = Redactor::new(Arc::clone(&needles));
            let mut out = Vec::with_capacity(2 * PIECE_BYTES);
            let mut length = 0;
            for piece in source.chunks(PIECE_BYTES) {
                redactor.push(black_box(piece), &mut out);
                length += out.len();
                out.clear();
            }
            redactor.finish(&mut out);
            length + out.len()
        });
    });
    group.bench_function("copied", |bencher| {
        bencher.iter(|| {
            let mut out = Vec::with_capacity(2 * PIECE_BYTES);
            let mut length = 0;
            for piece in source.chunks(PIECE_BYTES) {
                out.extend_from_slice(black_box(piece));
                length += out.len();
                out.clear();
            }
            length
        });
    });
    group.finish();
}

criterion_group!(benches, redact);
criterion_main!(benches);
