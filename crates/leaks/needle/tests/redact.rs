//! Redaction: every occurrence, nothing else, and the same result however the input is cut.

use std::borrow::Cow;
use std::sync::Arc;

use keyroll_needle::{HEAD_BYTES_MAX, NeedleId, Needles, Redactor};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn build(values: &[Vec<u8>]) -> Arc<Needles> {
    let mut builder = Needles::builder();
    for (number, value) in (0..).zip(values) {
        let id = NeedleId(number);
        builder = builder.add(id, &SecretBytes::new(value.clone())).name(id, format!("S{number}"));
    }
    Arc::new(builder.raw_only().build().expect("build"))
}

fn written(needles: &Arc<Needles>, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut redactor, mut out) = begun(needles, pieces);
    redactor.finish(&mut out);
    out
}

/// A stream that has not ended, and what it has shown.
fn begun(needles: &Arc<Needles>, pieces: &[&[u8]]) -> (Redactor, Vec<u8>) {
    let mut out = Vec::new();
    let mut redactor = Redactor::new(Arc::clone(needles));
    for piece in pieces {
        redactor.push(piece, &mut out);
    }
    (redactor, out)
}

fn letters(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab".to_vec()), sizes)
}

/// Values of two letters, and an input of whole values and random letters side by side.
fn values_and_input() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    prop::collection::vec(letters(8..14), 1..4).prop_flat_map(|values| {
        let part = prop_oneof![prop::sample::select(values.clone()), letters(0..20), Just(vec![b'a'; 30])];
        (Just(values), prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat()))
    })
}

/// The oracle: a byte is covered if any occurrence covers it; regions part where no occurrence spans the seam.
fn brute(values: &[Vec<u8>], input: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    for start in 0..input.len() {
        for (number, value) in values.iter().enumerate() {
            if input[start..].starts_with(value) {
                found.push((start, number, start + value.len()));
            }
        }
    }
    let mut out = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let Some(&(start, number, mut end)) = found.iter().find(|hit| hit.0 == at) else {
            out.push(input[at]);
            at += 1;
            continue;
        };
        while let Some(longer) = found.iter().find(|hit| hit.0 >= start && hit.0 < end && hit.2 > end) {
            end = longer.2;
        }
        out.extend_from_slice(format!("[redacted:S{number}]").as_bytes());
        at = end;
    }
    out
}

/// How long the marker is that a text begins with.
fn marker(text: &[u8]) -> Option<usize> {
    let end = text.starts_with(b"[redacted:").then(|| text.iter().position(|byte| *byte == b']'))??;
    Some(end + 1)
}

/// Whether an output is the wanted one, except for heads of at most five bytes of a value before its marker; the input
/// shows which value. If a head is also the end of another value, that value has its own marker; there are at most
/// `cuts` of these.
fn alike(wanted: &[u8], out: &[u8], cuts: usize) -> bool {
    is_alike(wanted, out, cuts, false)
}

fn is_alike(wanted: &[u8], out: &[u8], cuts: usize, behind_marker: bool) -> bool {
    let heads = || (0..=HEAD_BYTES_MAX).filter_map(|head| out.get(head..));
    if let Some(length) = marker(wanted) {
        let (marker, rest) = wanted.split_at(length);
        if heads().filter_map(|out| out.strip_prefix(marker)).any(|out| is_alike(rest, out, cuts, true)) {
            return true;
        }
    }
    if behind_marker && cuts > 0 {
        let mut more = heads().filter_map(|out| out.get(marker(out)?..));
        if more.any(|out| is_alike(wanted, out, cuts - 1, true)) {
            return true;
        }
    }
    match (wanted, out) {
        ([], []) => true,
        ([one, wanted @ ..], [other, out @ ..]) => one == other && is_alike(wanted, out, cuts, false),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn redaction_is_the_oracles((values, input) in values_and_input()) {
        let needles = build(&values);
        let redacted = needles.redact(&input).into_owned();
        prop_assert!(needles.is_clean(&redacted));
        prop_assert_eq!(redacted, brute(&values, &input));
    }

    #[test]
    fn no_form_is_left_in_the_output(
        value in prop_oneof!["[ab\"/ <é]{8,16}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 8..16)],
        before: Vec<u8>,
        after: Vec<u8>,
    ) {
        use base64::Engine as _;
        let needles = Needles::builder().add(NeedleId(0), &SecretBytes::new(value.clone())).build().expect("build");
        let whole = [before, value, after].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&whole);
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        for input in [whole.as_slice(), encoded.as_bytes(), hex.as_bytes()] {
            let redacted = needles.redact(input);
            prop_assert!(matches!(redacted, Cow::Owned(_)) && needles.is_clean(&redacted));
        }
    }

    #[test]
    fn cuts_change_nothing(
        (values, input) in values_and_input(),
        cuts in prop::collection::vec(0..80usize, 0..8),
    ) {
        let needles = build(&values);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
        let out = written(&needles, &pieces);
        prop_assert!(needles.is_clean(&out));
        prop_assert!(alike(&brute(&values, &input), &out, pieces.len() - 1), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn nothing_is_held_back_that_begins_no_needle(input in "[c-z \n]{0,60}") {
        let needles = build(&[b"abababab".to_vec()]);
        prop_assert_eq!(begun(&needles, &[input.as_bytes()]).1, input.as_bytes());
    }

    #[test]
    fn what_is_held_back_is_the_longest_prefix(input in letters(0..60)) {
        let value = b"aababbab".to_vec();
        let needles = build(std::slice::from_ref(&value));
        let (_, shown) = begun(&needles, &[&input]);
        if needles.is_clean(&input) {
            let held = (0..value.len()).rev().find(|&length| input.ends_with(&value[..length])).unwrap_or(0);
            let held = if held > HEAD_BYTES_MAX { held } else { 0 };
            prop_assert_eq!(shown.len(), input.len() - held);
        }
    }

    #[test]
    fn clean_input_is_borrowed(input: Vec<u8>) {
        let needles = build(&[vec![7; 300]]);
        let redacted = needles.redact(&input);
        prop_assert!(matches!(redacted, Cow::Borrowed(_)) && redacted == input);
    }
}

#[test]
fn every_split_point_of_a_value_in_every_encoding() {
    let value = "k\u{e9}y/\"0123456789\" <+>";
    let id = NeedleId(0);
    let secret = SecretBytes::new(value.as_bytes().to_vec());
    let needles = Arc::new(Needles::builder().add(id, &secret).name(id, "api").build().expect("build"));
    let input = format!(
        "a {value} b k\\u00e9y/\\\"0123456789\\\" <+> c k%C3%A9y%2F%220123456789%22%20%3C%2B%3E d \
         k\u{e9}y/&quot;0123456789&quot; &lt;+&gt; e"
    );
    let expected = b"a [redacted:api] b [redacted:api] c [redacted:api] d [redacted:api] e".to_vec();
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let bytes = input.as_bytes();
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let out = written(&needles, &pieces);
            assert!(needles.is_clean(&out) && alike(&expected, &out, 0), "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_run_without_end_takes_bounded_memory_and_one_marker() {
    let needles = build(&[vec![b'a'; 16]]);
    let run = vec![b'a'; 1_000_000];
    assert_eq!(written(&needles, &[b"x", &run, b"y"]), b"x[redacted:S0]y");
}

#[test]
fn no_call_releases_half_a_value_but_the_end_does() {
    let (mut redactor, mut out) = begun(&build(&[b"0123456789".to_vec()]), &[b"key=012345", b""]);
    assert_eq!(out, b"key=");
    redactor.finish(&mut out);
    assert_eq!(out, b"key=012345");
}

/// With many values, most texts end in the start of some value.
#[test]
fn a_short_prefix_is_shown_at_once_and_the_rest_is_masked_when_it_comes() {
    let mut redactor = Redactor::new(build(&[b"0123456789".to_vec()]));
    let mut out = Vec::new();
    for (piece, shown) in [
        ("key=012", "key=012"),
        ("34", "key=01234"),
        ("5", "key=01234"),
        ("678", "key=01234"),
        ("9 ", "key=01234[redacted:S0] "),
        ("01234", "key=01234[redacted:S0] 01234"),
        (" 0123456", "key=01234[redacted:S0] 01234 "),
        ("x", "key=01234[redacted:S0] 01234 0123456x"),
    ] {
        redactor.push(piece.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "behind {piece:?}");
    }
    assert_eq!(redactor.held_back(), 0);
}

#[test]
fn of_a_thousand_values_every_prefix_is_held_back() {
    let values: Vec<Vec<u8>> = (0..1000_u32)
        .map(|number| format!("{:08x}-of-many", number.wrapping_mul(0x9E37_79B1)).into_bytes())
        .collect();
    let needles = build(&values);
    for value in &values {
        let mut redactor = Redactor::new(Arc::clone(&needles));
        let mut out = Vec::new();
        redactor.push(&value[..12], &mut out);
        assert!(redactor.held_back() == 12 && out.is_empty());
    }
}

/// The last byte may begin a line's end that is written as `\n`, or be a part of the value.
#[test]
fn a_backslash_of_a_value_that_a_line_end_splits_is_held_back_too() {
    let needles = Needles::builder()
        .add(NeedleId(0), &SecretBytes::new(b"0123456\\789".to_vec()))
        .build()
        .expect("build");
    let mut redactor = Redactor::new(Arc::new(needles));
    let mut out = Vec::new();
    for piece in [b"a 012\n3456\\".as_slice(), b"789 b"] {
        redactor.push(piece, &mut out);
    }
    redactor.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "a [redacted:0] b");
}

#[test]
fn a_value_that_is_added_in_mid_stream_is_searched_for_in_what_is_held_back_too() {
    let mut redactor = Redactor::new(build(&[b"01234567".to_vec()]));
    let mut out = Vec::new();
    redactor.push(b"a 012345", &mut out);
    redactor.set_needles(build(&[b"01234567".to_vec(), b"01234599".to_vec()]));
    redactor.push(b"99 01234567", &mut out);
    redactor.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "a [redacted:S1] [redacted:S0]");
}

#[test]
fn a_whole_value_is_replaced_at_once() {
    let needles = build(&[b"01234567".to_vec(), b"abcdefgh".to_vec(), b"abcdefghij".to_vec()]);
    let (mut redactor, mut out) = begun(&needles, &[b"key=01234567"]);
    assert_eq!(out, b"key=[redacted:S0]", "no longer value begins so");
    redactor.push(b" abcdefgh", &mut out);
    assert_eq!(out, b"key=[redacted:S0] ", "a longer value may follow");
    redactor.push(b"x", &mut out);
    assert_eq!(out, b"key=[redacted:S0] [redacted:S1]x");
}

/// Many values end in the start of an encoding of another one: a complete value must be replaced without waiting.
#[test]
fn a_value_that_ends_in_a_short_prefix_is_replaced_at_once_and_so_is_what_follows() {
    let needles = build(&[b"01234567".to_vec(), b"67abcdef".to_vec()]);
    let (mut redactor, mut out) = begun(&needles, &[b"key=01234567"]);
    assert_eq!(out, b"key=[redacted:S0]");
    redactor.push(b"abc", &mut out);
    assert_eq!(out, b"key=[redacted:S0]abc");
    redactor.push(b"def 67abcdef", &mut out);
    redactor.push(b"4567", &mut out);
    assert_eq!(out, b"key=[redacted:S0]abc[redacted:S1] [redacted:S1]4567");
    // In one piece they overlap.
    assert_eq!(written(&needles, &[b"key=01234567abcdef"]), b"key=[redacted:S0]");
}

/// A code of a terminal that has a text of its own does not part the head before it from what may follow.
#[test]
fn what_was_shown_after_a_head_is_not_shown_again() {
    let needles = build(&[b"0123456789".to_vec(), b"abcdefghij".to_vec()]);
    let (mut redactor, mut out) = begun(&needles, &[b"abc\x1b]0;0123456789\x07"]);
    assert_eq!(String::from_utf8_lossy(&out), "abc\x1b]0;[redacted:S0]\x07");
    redactor.push(b"\x1b[m", &mut out);
    redactor.push(b"\x1b[m", &mut out);
    redactor.push(b"y ok", &mut out);
    redactor.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "abc\x1b]0;[redacted:S0]\x07\x1b[m\x1b[my ok");
}

#[test]
fn without_a_name_the_number_is_shown() {
    let secret = SecretBytes::new(b"0123456789".to_vec());
    let needles = Needles::builder().add(NeedleId(12), &secret).build().expect("build");
    assert_eq!(needles.redact_text("a 0123456789 b"), "a [redacted:12] b");
    assert_eq!(needles.redact_text("clean"), "clean");
}
