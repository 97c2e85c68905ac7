//! A credential that contains a known value: the rest of the rule's finding is hidden too.

use std::ops::Range;

use keyroll_leak::Rules;
use keyroll_needle::Needles;
use keyroll_redact::{Patterns, RedactingStream, Report};
use proptest::prelude::*;

use crate::common::{needles, rules};

const VALUE: &str = "9876543210fedcba";
const OTHER: &str = "fedcba98/7654321";

/// The output without markers.
fn bare(out: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(out.to_vec()).unwrap();
    let mut parts = text.split("[redacted:");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| all + part.split_once(']').unwrap().1).into_bytes()
}

/// The bytes that may be shown: everything except known values, and except rules' findings that contain more than a
/// public prefix and a known value.
fn shown(needles: &Needles, rules: &Rules, text: &[u8]) -> Vec<u8> {
    let mut known: Vec<Range<usize>> = Vec::new();
    needles.find(text, &mut |hit| known.push(hit.start..hit.end));
    known.sort_unstable_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for span in known {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    let mut hidden = vec![false; text.len()];
    merged.iter().for_each(|span| hidden[span.clone()].fill(true));
    rules.find(text, &mut |finding| {
        let value = &text[finding.span.clone()];
        let begins = finding.rule.begins.iter().filter(|begin| value.starts_with(begin.as_bytes()));
        let from = finding.span.start + begins.map(String::len).max().unwrap_or(0);
        if !merged.iter().any(|known| known.start <= from && finding.span.end <= known.end) {
            hidden[finding.span].fill(true);
        }
    });
    text.iter().zip(hidden).filter(|(_, hidden)| !hidden).map(|(byte, _)| *byte).collect()
}

/// Whether one text equals the other without at most this many bytes at one position.
fn is_without(long: &[u8], short: &[u8], most: usize) -> bool {
    let Some(more) = long.len().checked_sub(short.len()).filter(|more| *more <= most) else { return false };
    let same = long.iter().zip(short).take_while(|(one, other)| one == other).count();
    long[same + more..] == short[same..]
        || (0..same).any(|at| long[..at] == short[..at] && long[at + more..] == short[at..])
}

fn pushed(patterns: &Patterns, pieces: &[&[u8]]) -> Vec<u8> {
    let mut shield = RedactingStream::new(patterns);
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| shield.push(piece, &mut out));
    shield.finish(&mut out);
    assert_eq!(shield.held_back(), 0);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_rule_finds_around_known_values_is_hidden(parts in prop::collection::vec(prop::sample::select(vec![
        VALUE, OTHER, "tok_", "0123", "01234567", ".mid.", "mine=", " ", "\n", "-", "98765432", "fedcba",
    ]), 0..9)) {
        let text = parts.concat().into_bytes();
        let needles = needles(&[("api", VALUE), ("other", OTHER)]);
        let patterns = Patterns::new(needles.clone(), Some(rules()));
        let wanted = shown(&needles, rules(), &text);
        let whole = patterns.replace(&text, &mut Report::default()).unwrap_or_else(|| text.clone());
        prop_assert_eq!(String::from_utf8(bare(&whole)), String::from_utf8(wanted.clone()));
        prop_assert_eq!(pushed(&patterns, &[&text]), whole.clone());
        for cut in 0..=text.len() {
            let out = pushed(&patterns, &[&text[..cut], &text[cut..]]);
            prop_assert!(is_without(&bare(&out), &wanted, 5), "cut at {cut}: {} and {}", String::from_utf8_lossy(&whole), String::from_utf8_lossy(&out));
        }
    }
}

/// As in the address of a database, where the user alone is known.
#[test]
fn beside_a_known_user_the_password_is_hidden() {
    let rule = "[[rule]]\nid='address'\nprovider='p'\ntitle='t'\nsource='https://x.y'\nbegins=['db://']\nregex='db://[a-z0-9]{4,40}:[a-z0-9]{8,40}@[a-z.]{1,40}'\n";
    let rules: &'static Rules = Box::leak(Box::new(Rules::read(&[("mine", rule)]).unwrap()));
    let patterns = Patterns::new(needles(&[("user", VALUE)]), Some(rules));
    let text = format!("at db://{VALUE}:012345678@host.x now");
    for cut in 0..=text.len() {
        let out = pushed(&patterns, &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
        let head = (4..9).contains(&cut).then(|| &"db://"[..cut - 3]).filter(|head| head.len() < 5);
        assert_eq!(
            String::from_utf8_lossy(&out),
            format!("at {}[redacted:address] now", head.unwrap_or_default()),
            "{cut}"
        );
    }
    // A value that extends beyond a rule's finding, and a value with several lines.
    let text = format!("db://user0:0123{VALUE}@host.x {}\n{} x", &VALUE[..8], &VALUE[8..]);
    let out = pushed(&patterns, &[text.as_bytes()]);
    assert_eq!(String::from_utf8_lossy(&out), "[redacted:address] [redacted:user] x");
}

/// Endlessly overlapping values are bounded and hidden.
#[test]
fn known_values_that_overlap_without_end_take_bounded_memory() {
    let patterns = Patterns::new(needles(&[("same", "abababababab")]), Some(rules()));
    let mut shield = RedactingStream::new(&patterns);
    let mut out = Vec::new();
    shield.push(b"tok_0123", &mut out);
    for _ in 0..2_000 {
        shield.push(&b"ab".repeat(500), &mut out);
    }
    shield.push(b" x", &mut out);
    shield.finish(&mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("[redacted:same]") && out.ends_with(" x") && !out.contains("abab"), "{}", out.len());
}
