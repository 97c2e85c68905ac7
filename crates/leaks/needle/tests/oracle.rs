//! The engine compared with a search at every position, with small alphabets, so that matches overlap.

use keyroll_needle::{ChunkedSearch, Encoding, Hit, NeedleId, Needles};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn build(values: &[Vec<u8>], raw_only: bool) -> Needles {
    let mut builder = Needles::builder();
    for (number, value) in (0..).zip(values) {
        builder = builder.add(NeedleId(number), &SecretBytes::new(value.clone()));
    }
    if raw_only { builder.raw_only() } else { builder }.build().expect("build")
}

fn found(needles: &Needles, haystack: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    needles.find(haystack, &mut |hit| hits.push(hit));
    hits.sort_unstable();
    hits
}

fn brute(values: &[Vec<u8>], haystack: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (number, value) in (0..).zip(values) {
        for (start, window) in haystack.windows(value.len()).enumerate() {
            if window == value {
                let end = start + value.len();
                hits.push(Hit { id: NeedleId(number), encoding: Encoding::Raw, start, end });
            }
        }
    }
    hits.sort_unstable();
    hits
}

/// Values of 8 to 40 bytes from two letters, and a haystack made of pieces of them: matches at every distance.
fn values_and_haystack() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let letters = |sizes| prop::collection::vec(prop::sample::select(b"ab\0".to_vec()), sizes);
    let values = prop::collection::vec(prop_oneof![letters(8..12), letters(12..16), letters(16..40)], 1..6);
    values.prop_flat_map(move |values| {
        let whole = prop::sample::select(values.clone());
        let piece = (whole.clone(), 0..40usize, 0..40usize).prop_map(|(value, from, to)| {
            let (from, to) = (from.min(value.len()), to.min(value.len()));
            value[from.min(to)..to].to_vec()
        });
        let parts = prop::collection::vec(prop_oneof![whole, piece, letters(0..12)], 0..12);
        (Just(values), parts.prop_map(|parts| parts.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_occurrence_is_found_once((values, haystack) in values_and_haystack()) {
        prop_assert_eq!(found(&build(&values, true), &haystack), brute(&values, &haystack));
    }

    #[test]
    fn cuts_change_nothing((values, haystack) in values_and_haystack(), cuts in prop::collection::vec(0..200usize, 0..9)) {
        let needles = build(&values, true);
        let mut stream = ChunkedSearch::new(&needles);
        let mut hits = Vec::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (haystack.len() + 1)).collect();
        cuts.extend([0, haystack.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            stream.push(&haystack[pair[0]..pair[1]], &mut |hit| hits.push(hit));
        }
        hits.sort_unstable();
        prop_assert_eq!(hits, brute(&values, &haystack));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn a_thousand_values_together_are_as_good_as_alone(seed: u64, at in 0..64usize) {
        let values: Vec<Vec<u8>> = (0..1000u64).map(|number| random(seed ^ (number << 32), 16 + number as usize % 48)).collect();
        let needles = build(&values, true);
        let mut haystack = random(!seed, at);
        for value in values.iter().step_by(97) {
            haystack.extend_from_slice(value);
            haystack.extend_from_slice(b"sep");
        }
        let hits = found(&needles, &haystack);
        prop_assert_eq!(hits.len(), values.iter().step_by(97).count());
    }
}

/// Bytes that look random and come from the seed alone (splitmix64).
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn every_split_point_of_every_encoding() {
    let value = b"p\xc3\xa4ss/w\"ord <&> 'x'".to_vec();
    let needles = build(std::slice::from_ref(&value), false);
    let haystack = encodings(&value).concat();
    let whole = found(&needles, &haystack);
    assert!(whole.len() >= 12, "{whole:?}");
    for first in 0..=haystack.len() {
        for second in [first, first + 1, first + 7, first + 60] {
            let second = second.min(haystack.len());
            let mut stream = ChunkedSearch::new(&needles);
            let mut hits = Vec::new();
            for piece in [&haystack[..first], &haystack[first..second], &haystack[second..]] {
                stream.push(piece, &mut |hit| hits.push(hit));
            }
            hits.sort_unstable();
            assert_eq!(hits, whole, "cut at {first} and {second}");
        }
    }
    let mut stream = ChunkedSearch::new(&needles);
    let mut hits = Vec::new();
    haystack.chunks(1).for_each(|piece| stream.push(piece, &mut |hit| hits.push(hit)));
    hits.sort_unstable();
    assert_eq!(hits, whole, "byte by byte");
}

fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let text = std::str::from_utf8(value).expect("text");
    let hex = |upper| {
        value
            .iter()
            .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
            .collect::<String>()
    };
    vec![
        value.to_vec(),
        base64::engine::general_purpose::STANDARD.encode(value).into_bytes(),
        hex(false).into_bytes(),
        hex(true).into_bytes(),
        br"p%C3%A4ss%2Fw%22ord%20%3C%26%3E%20%27x%27".to_vec(),
        br"p%c3%a4ss/w%22ord%20%3c%26%3e%20%27x%27".to_vec(),
        br"p%C3%A4ss%2Fw%22ord+%3C%26%3E+%27x%27".to_vec(),
        br#"p\u00e4ss\/w\"ord <&> 'x'"#.to_vec(),
        "pä".bytes().chain(*br#"ss/w\\\"ord <&> 'x'"#).collect(),
        "pä".bytes().chain(*br#"ss/w&quot;ord &lt;&amp;&gt; &#39;x&#39;"#).collect(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ]
}

#[test]
fn a_stream_is_searched_to_its_end() {
    let value = random(1, 24);
    let needles = build(std::slice::from_ref(&value), false);
    let mut data = vec![0u8; 256 * 1024 - 10];
    data.extend_from_slice(&value);
    data.extend(std::iter::repeat_n(0, 300_000));
    data.extend_from_slice(&value);
    let mut starts = Vec::new();
    let mut stream = ChunkedSearch::new(&needles);
    data.chunks(256 * 1024).for_each(|piece| stream.push(piece, &mut |hit| starts.push(hit.start)));
    starts.sort_unstable();
    assert_eq!((stream.seen(), starts), (data.len(), vec![256 * 1024 - 10, data.len() - 24]));
}
