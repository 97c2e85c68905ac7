//! A search by fingerprints finds what a search by value finds, also where a text comes in pieces.

use std::process::Command;

use keyroll_needle::{FingerprintLabel, FingerprintSet, FingerprintState};
use keyroll_observe::{MemoryLimits, Search, environment_holds, memory_holds};
use keyroll_secret::SecretBytes;
use keyroll_testkit::alphanumeric;

use crate::parts::Running;

/// The fingerprint of a value, under this version.
fn prints(version: u64, value: &str) -> FingerprintSet {
    let label = FingerprintLabel { name: "old".to_owned(), version, state: FingerprintState::Current };
    let mut builder = FingerprintSet::builder().expect("random numbers");
    builder.add(label, &SecretBytes::from(value.to_owned())).expect("it cannot be guessed");
    builder.build()
}

/// The ids that are found in a text that comes in two pieces, of which the second begins with the end of the first.
fn found(prints: &dyn Search, text: &[u8], cut: usize) -> Vec<u32> {
    let kept = cut.saturating_sub(prints.longest() - 1);
    let mut ids = Vec::new();
    for piece in [&text[..cut], &text[kept..]] {
        prints.find(piece, &mut |id, _| ids.push(id));
    }
    ids.dedup();
    ids
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks_exact(3).flat_map(|three| {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]))
    });
    digits.collect()
}

#[test]
fn a_value_across_the_border_of_two_pieces_is_found_in_every_encoding_wherever_the_border_is() {
    let value = format!("{}/{}", alphanumeric(29), alphanumeric(30));
    let prints = prints(1, &value);
    let forms: [Vec<u8>; 5] = [
        value.clone().into_bytes(),
        base64(value.as_bytes()).into_bytes(),
        value.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
        value.replace('/', "%2F").into_bytes(),
        value.bytes().flat_map(|byte| [byte, 0]).collect(),
    ];
    for form in forms {
        let text = [b"....".as_slice(), &form, b"....".as_slice()].concat();
        for cut in 0..text.len() {
            assert_eq!(found(&prints, &text, cut), [1], "cut at {cut}: {}", String::from_utf8_lossy(&text));
        }
    }
    assert!(found(&prints, alphanumeric(400).as_bytes(), 200).is_empty());
}

#[test]
fn a_process_is_found_by_what_it_holds_without_its_value() {
    let held = alphanumeric(60);
    let running = Running::start(Command::new("sleep").arg("60").env("API_KEY", &held));
    let (own, other) = (prints(0, &held), prints(0, &alphanumeric(60)));
    let environment = |prints: &FingerprintSet| environment_holds(&running.id(), prints).expect("visible");
    assert!(environment(&own).contains(&0) && environment(&other).is_empty());
    // The environment is at the start of the stack.
    let memory = |prints: &FingerprintSet| memory_holds(&running.id(), prints, MemoryLimits::default()).found;
    assert!(memory(&own).contains_key(&0) && memory(&other).is_empty());
}
