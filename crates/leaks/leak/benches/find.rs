//! All rules on source code, compared with an automaton of their anchors, and with reading each byte once.
#![allow(missing_docs)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyroll_leak::Rules;

/// The size of the searched text, bytes.
const DATA_BYTES: usize = 100_000_000;

fn find(criterion: &mut Criterion) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).expect("a home");
    let mut source = Vec::with_capacity(DATA_BYTES);
    for folder in [home.join("registry/src"), "/usr/lib/python3".into(), "/usr/include".into()] {
        append(&folder, &mut source);
    }
    let rules = Rules::shipped().expect("rules");
    let begins: Vec<&str> = rules.iter().flat_map(|rule| &rule.begins).map(String::as_str).collect();
    let automaton = AhoCorasick::new(&begins).expect("an automaton");
    let mut group = criterion.benchmark_group("rules");
    group.sample_size(10).throughput(Throughput::Bytes(source.len() as u64));
    group.bench_function(format!("{} rules", rules.iter().count()), |bencher| {
        bencher.iter(|| {
            let mut found = 0;
            rules.find(black_box(&source), &mut |_| found += 1);
            found
        });
    });
    group.bench_function(format!("aho-corasick of their {} beginnings", begins.len()), |bencher| {
        bencher.iter(|| automaton.find_overlapping_iter(black_box(&source)).count());
    });
    group.bench_function("each byte once", |bencher| {
        bencher.iter(|| black_box(&source).iter().filter(|byte| **byte == b'\n').count());
    });
    group.finish();
}

fn append(folder: &Path, data: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    for path in paths {
        match fs::symlink_metadata(&path) {
            _ if data.len() >= DATA_BYTES => return data.truncate(DATA_BYTES),
            Ok(metadata) if metadata.is_dir() => append(&path, data),
            Ok(metadata) if metadata.is_file() => data.extend(fs::read(&path).unwrap_or_default()),
            Ok(_) | Err(_) => {}
        }
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
