//! Known values in all their encodings through the shield, with rules and without.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyroll_needle::HEAD_BYTES_MAX;
use keyroll_redact::{Patterns, RedactingStream, Report};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::common::{needles, rules};

/// Of some characters another form is written somewhere. None begins with a blank: where it also begins a line and is wrapped within,
/// that blank is taken for the line's.
fn value() -> impl Strategy<Value = String> {
    "[a-c/\"é<+%][a-c/\"é <+%]{3}[0-9a-f]{12}"
}

fn written(value: &str, how: usize, before: &str) -> String {
    let whole = format!("{before}{value}");
    match how {
        0 => value.to_owned(),
        1 => STANDARD.encode(&whole),
        2 => URL_SAFE_NO_PAD.encode(&whole),
        3 => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        4 => serde_json::to_string(value).unwrap(),
        5 => serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
        6 => value
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect(),
        7 => value.chars().map(|letter| format!("\x1b[3{}m{letter}", letter as u32 % 8)).collect(),
        8 => value
            .chars()
            .enumerate()
            .map(|(at, letter)| if at == 7 { format!("\\\n  {letter}") } else { letter.to_string() })
            .collect(),
        _ => value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"),
    }
}

fn pushed(patterns: &Patterns, text: &str, cuts: &[Index]) -> (Vec<u8>, Report) {
    let mut cuts: Vec<usize> =
        cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
    cuts.sort_unstable();
    let mut shield = RedactingStream::new(patterns);
    let mut out = Vec::new();
    for pair in cuts.windows(2) {
        shield.push(&text.as_bytes()[pair[0]..pair[1]], &mut out);
    }
    shield.finish(&mut out);
    assert_eq!(shield.held_back(), 0);
    (out, shield.report().clone())
}

/// The output without the heads that a cut may show before a marker.
fn is_alike(mut wanted: &[u8], mut out: &[u8]) -> bool {
    let marker = b"[redacted:";
    while !wanted.is_empty() {
        let same = wanted.iter().zip(out).take_while(|(one, other)| one == other).count();
        let next = wanted.windows(marker.len()).position(|part| part == marker);
        if next.is_none_or(|next| next > same) {
            return same == wanted.len() && same == out.len();
        }
        let next = next.unwrap();
        // Of a head only the bytes of the value count, not interruptions.
        let head = out[next..].windows(marker.len()).position(|part| part == marker);
        let Some(head) = head.filter(|head| bare(&out[next..next + head]) <= HEAD_BYTES_MAX) else {
            return false;
        };
        let end = next + wanted[next..].iter().position(|byte| *byte == b']').unwrap() + 1;
        let length = end - next;
        out = &out[next + head + length..];
        wanted = &wanted[end..];
    }
    out.is_empty()
}

/// The bytes without codes and line ends.
fn bare(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head).replace("\\\n  ", "").replace("\\\n", "").replace('\n', "");
    let mut parts = text.split("\x1b[3");
    let first = parts.next().unwrap_or_default().len();
    first + parts.map(|part| part.get(2..).unwrap_or_default().len()).sum::<usize>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_form_of_a_value_leaves_and_cuts_change_heads_alone(
        value in value(),
        parts in prop::collection::vec((0..10usize, "[ -~\n]{0,9}"), 1..5),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
        with_rules: bool,
    ) {
        let known = needles(&[("api", &value)]);
        let patterns = Patterns::new(known.clone(), with_rules.then(rules));
        let text: String = parts.iter().map(|(how, between)| format!("{between}{}{between}", written(&value, *how, between))).collect();
        let (out, report) = pushed(&patterns, &text, &cuts);
        prop_assert!(matches!(known.redact(&out), Cow::Borrowed(_)), "a form is left");
        prop_assert!(report.values.contains_key("api"));
        let whole = patterns.replace(text.as_bytes(), &mut Report::default()).unwrap();
        prop_assert!(is_alike(&whole, &out), "{} against {}", String::from_utf8_lossy(&whole), String::from_utf8_lossy(&out));
        prop_assert!(std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn what_has_no_value_is_unchanged(value in value(), text: Vec<u8>, cuts in prop::collection::vec(any::<Index>(), 0..8)) {
        let patterns = Patterns::new(needles(&[("api", &value)]), Some(rules()));
        let text = String::from_utf8_lossy(&text).into_owned();
        prop_assume!(patterns.replace(text.as_bytes(), &mut Report::default()).is_none());
        let (out, report) = pushed(&patterns, &text, &cuts);
        prop_assert_eq!(out, text.into_bytes());
        prop_assert!(report.is_empty());
    }
}
