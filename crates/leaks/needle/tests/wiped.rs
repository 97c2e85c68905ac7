//! After a set of needles is dropped, this process's memory holds no copy of the value in any form; a set of
//! fingerprints never has one.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use keyroll_needle::{
    ChunkedSearch, FingerprintLabel, FingerprintSet, FingerprintState, NeedleId, Needles, Redactor,
};
use keyroll_secret::{LockedMemory, SecretBytes};
use zeroize::Zeroizing;

/// The pattern is kept masked, so that the search does not find itself.
const MASK: u8 = 0xa5;
const READ_BYTES: usize = 1 << 20;

fn masked(bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    bytes.into_iter().map(|byte| byte ^ MASK).collect()
}

/// How many of the writable regions hold this masked pattern; the buffer of the search itself is wiped.
fn occurrences(patterns: &[Vec<u8>]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let memory = File::open("/proc/self/mem").expect("memory");
    let mut count = 0;
    let mut buffer = vec![0; READ_BYTES + 64];
    let own = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let mut bounds = line.split([' ', '-']).map(|bound| usize::from_str_radix(bound, 16).unwrap_or(0));
        let (start, end) = (bounds.next().unwrap_or(0), bounds.next().unwrap_or(0));
        for at in (start..end).step_by(READ_BYTES) {
            let length = (end - at).min(buffer.len());
            if memory.read_exact_at(&mut buffer[..length], at as u64).is_err() {
                continue;
            }
            for pattern in patterns {
                let starts = (0..length.saturating_sub(pattern.len())).filter(|&offset| {
                    !own.contains(&(at + offset))
                        && pattern.iter().zip(&buffer[offset..]).all(|(masked, byte)| masked ^ MASK == *byte)
                });
                count += starts.count();
            }
        }
    }
    buffer.fill(0);
    count
}

#[test]
fn nothing_remains_in_memory() {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("clock").as_nanos() as u64;
    let mut state = clock;
    let kept: Vec<u8> = (0..400)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefghijklmnopqrstuvwxyz0123456789"[(state >> 40) as usize % 36] ^ MASK
        })
        .collect();
    // Twelve bytes identify the value, and are more than one sample of the tables. Not the first bytes, which an
    // allocator overwrites when memory is freed.
    let piece = || kept[200..212].iter().map(|byte| byte ^ MASK);
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(0, |digit| digit as u8);
    let patterns = [
        masked(piece()),
        masked(piece().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])),
        masked(piece().flat_map(|byte| [byte, 0])),
    ];
    assert_eq!(occurrences(&patterns), 0, "the search does not find itself");

    let value = SecretBytes::new(kept.iter().map(|byte| byte ^ MASK).collect());
    let before = LockedMemory::now().locked_bytes;
    let needles = Arc::new(Needles::builder().add(NeedleId(1), &value).build().expect("build"));
    assert!(LockedMemory::now().locked_bytes > before + value.len(), "the forms of the value are locked");
    let mut redactor = Redactor::new(Arc::clone(&needles));
    let mut out = Vec::new();
    let mut stream = ChunkedSearch::new(&needles);
    let mut hits = 0;
    for piece in value.expose().chunks(7) {
        stream.push(piece, &mut |_| hits += 1);
        redactor.push(piece, &mut out);
    }
    assert_eq!(hits, 1);
    assert!(occurrences(&patterns) >= 3, "the search finds what is there");

    drop(stream);
    drop(redactor);
    drop(needles);
    assert_eq!(occurrences(&patterns[1..]), 0, "encoded forms");

    let mut builder = FingerprintSet::builder().expect("random numbers");
    let label = FingerprintLabel { name: "api".to_owned(), version: 1, state: FingerprintState::Current };
    builder.add(label, &value).expect("random enough");
    let prints = builder.build();
    let mut digits = Zeroizing::new(Vec::with_capacity(2 * kept.len() + 1));
    digits.extend(value.expose().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    prints.find(&digits, &mut |_| hits += 1);
    digits.insert(300, b'\n');
    prints.find_across(&digits, &mut |_| hits += 1);
    assert_eq!(hits, 3);
    drop(digits);
    assert_eq!(occurrences(&patterns[1..]), 0, "what was decoded");
    drop(value);
    assert_eq!(occurrences(&patterns), 0, "the value");
    assert_eq!(prints.labels().len(), 1);
}
