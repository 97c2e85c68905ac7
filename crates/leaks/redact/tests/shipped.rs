//! The rules that come with the program, in streams.

use keyroll_leak::{Rule, Rules};
use keyroll_redact::{Patterns, RedactingStream, Report};
use memchr::memmem;
use proptest::strategy::{Strategy, ValueTree};
use proptest::string::bytes_regex;
use proptest::test_runner::TestRunner;

use crate::common::needles;

/// The rules of every file that can be read, each file for itself.
fn files() -> Vec<&'static Rules> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../rules");
    let texts = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    texts
        .filter_map(|text| Rules::read(&[("one", &text)]).ok())
        .map(|rules| &*Box::leak(Box::new(rules)))
        .collect()
}

fn pushed(patterns: &Patterns, pieces: &[&[u8]]) -> Vec<u8> {
    let mut shield = RedactingStream::new(patterns);
    let mut out = Vec::new();
    for piece in pieces {
        shield.push(piece, &mut out);
    }
    shield.finish(&mut out);
    out
}

/// How much of a value may be shown after a cut at this position: half of its prefix; a head, or an address before the
/// inner word, for a rule with an inner word; five bytes for a rule with a word before its values.
fn head_max(rule: &Rule, value: &[u8], cut: usize) -> usize {
    let begins = rule.begins.iter().filter(|begin| value.starts_with(begin.as_bytes()));
    let begin =
        begins.map(|begin| if begin.len() < 3 && !rule.is_sure() { 5 } else { begin.len() - 1 }).max();
    let within = rule
        .holds
        .iter()
        .filter_map(|word| Some(memmem::find(value, word.as_bytes())? + word.len() - 1))
        .max();
    let most = match (begin, within) {
        (Some(begin), _) => begin,
        (None, Some(word)) if value.starts_with(b"http") || value.starts_with(b"wss:") => word,
        (None, Some(word)) => (0..=word).rev().find(|head| is_head(&value[..*head])).unwrap(),
        (None, None) => 5,
    };
    most.min(cut)
}

/// Five bytes, or sixteen that look like a word.
fn is_head(head: &[u8]) -> bool {
    let digit = head.iter().any(u8::is_ascii_digit);
    let small = head.iter().skip(1).any(u8::is_ascii_lowercase);
    let capital = head.iter().skip(1).any(u8::is_ascii_uppercase);
    head.len() <= 5 || head.len() <= 16 && !digit && !(small && capital)
}

#[test]
fn a_cut_changes_nothing_but_heads() {
    let mut runner = TestRunner::deterministic();
    let (mut found_all, mut wrong) = (0, Vec::new());
    for (rules, rule) in files().into_iter().flat_map(|rules| rules.iter().map(move |rule| (rules, rule))) {
        let patterns = Patterns::new(needles(&[]), Some(rules));
        let value = bytes_regex(rule.expression()).unwrap().new_tree(&mut runner).unwrap().current();
        let name = rule.id.replace('-', "_");
        let text =
            [format!("{} {name}=", rule.provider).as_bytes(), &value, b" \"", &value, b"\"\nend"].concat();
        let mut spans = Vec::new();
        rules.find(&text, &mut |finding| {
            spans.push((finding.rule, finding.span));
        });
        found_all += usize::from(!spans.is_empty());
        let whole = patterns.replace(&text, &mut Report::default()).unwrap_or_else(|| text.clone());
        let heads: usize =
            spans.iter().map(|(rule, span)| head_max(rule, &text[span.clone()], span.len())).sum();
        let single: Vec<&[u8]> = text.chunks(if text.len() > 400 { 37 } else { 1 }).collect();
        let out = pushed(&patterns, &single);
        if out.len() < whole.len() || out.len() > whole.len() + heads {
            wrong.push(format!("{} byte by byte: {}", rule.id, String::from_utf8_lossy(&out)));
        }
        for cut in (0..=text.len()).step_by(if text.len() > 400 { 37 } else { 1 }) {
            let out = pushed(&patterns, &[&text[..cut], &text[cut..]]);
            // Only a value that the cut falls into may have a head.
            let head = spans
                .iter()
                .find(|(_, span)| span.contains(&cut))
                .map_or(0, |(rule, span)| head_max(rule, &text[span.clone()], cut - span.start));
            if out.len() < whole.len() || out.len() > whole.len() + head {
                wrong.push(format!(
                    "{} at {cut}: {} and {}",
                    rule.id,
                    String::from_utf8_lossy(&whole),
                    String::from_utf8_lossy(&out)
                ));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    assert!(found_all > 400, "{found_all}");
}
