pub(crate) mod edits;
pub(crate) mod lenient;
pub(crate) mod logprobs;
pub(crate) mod parse;
pub(crate) mod text;

use std::ops::Range;

use keyroll_needle::VALUE_BYTES_MIN;
use zeroize::Zeroizing;

use crate::json::edits::apply;
use crate::json::logprobs::{empty_tokens, is_of_tokens, without_tokens};
use crate::json::parse::{JsonKind, JsonStep, visit};
use crate::json::text::{decode, quoted, unescaped};
use crate::stream::rules::WORD_BYTES_MAX;
use crate::{Patterns, Report};

/// The longest JSON body that is scanned, bytes: 16 MiB. A longer one is withheld.
pub const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How far before a value its words are searched in escaped text, bytes: a character has at most six, `\u0061`.
const NEAR_WIRE_BYTES_MAX: usize = 6 * WORD_BYTES_MAX;

/// Replaces a JSON body of which nothing may be shown.
const ALL: &[u8] = br#""[redacted]""#;

/// Redacts a JSON body: its decoded names, texts and numbers, then its bytes as they are sent. Valid JSON stays
/// valid; the rest stays byte for byte the same.
///
/// A replaced number becomes a text. If anything is replaced, the tokens of a model's `logprobs` are emptied. The
/// whole body becomes the text `[redacted]` if a value spans several texts, or if the body has more than
/// [`JSON_BYTES_MAX`] or is nested deeper than [`JSON_DEPTH_MAX`](crate::JSON_DEPTH_MAX).
///
/// Malformed JSON is scanned as far as possible: the decoded content of quotes, then all of it as text, then all of
/// it unescaped. A finding only of the last scan has no known position: the whole body becomes `[redacted]`.
pub fn replace_json(patterns: &Patterns, body: &[u8], report: &mut Report) -> Vec<u8> {
    if !can_be_read(body) {
        return ALL.to_vec();
    }
    let (valid, mut out) = leaves_replaced(patterns, body, report);
    let wire = patterns.replace_again(&out, report);
    if valid && wire.as_ref().is_some_and(|wire| !visit(wire, &mut |_, _, _| {})) {
        return ALL.to_vec();
    }
    // A list of tokens would repeat the replaced text.
    out = wire.map_or(out, |wire| without_tokens(&wire).unwrap_or(wire));
    if !valid && hides(patterns, &out, report) { ALL.to_vec() } else { out }
}

/// Whether a body is within the limits of length and depth.
pub(crate) fn can_be_read(body: &[u8]) -> bool {
    body.len() <= JSON_BYTES_MAX && !lenient::is_too_deep(body)
}

/// Whether the body is valid JSON, and the body with its leaves redacted.
fn leaves_replaced(patterns: &Patterns, body: &[u8], report: &mut Report) -> (bool, Vec<u8>) {
    let (mut edits, mut found) = (Vec::new(), Report::default());
    let mut valid = false;
    for is_strict in [true, false] {
        let mut tokens = Vec::new();
        (edits, found) = (Vec::new(), Report::default());
        let mut tell = |way: &[JsonStep], kind, span: Range<usize>| {
            if is_of_tokens(way) {
                tokens.push((kind, span.clone()));
            }
            // A scalar of malformed JSON may be anything: the scan of the bytes covers it.
            if is_strict || kind != JsonKind::Scalar {
                edits.extend(edit(patterns, body, kind, span, &mut found));
            }
        };
        if is_strict {
            valid = visit(body, &mut tell);
        } else {
            lenient::visit(body, &mut tell);
        }
        if !edits.is_empty() {
            empty_tokens(body, tokens, &mut edits);
        }
        if valid {
            break;
        }
    }
    report.add(&found);
    (valid, apply(body, 0..body.len(), &edits))
}

/// Whether malformed JSON has a finding once it is unescaped.
pub(crate) fn hides(patterns: &Patterns, text: &[u8], report: &mut Report) -> bool {
    memchr::memchr(b'\\', text).is_some() && patterns.replace_again(&unescaped(text), report).is_some()
}

/// The replacement of a leaf, if it has a finding.
pub(crate) fn edit(
    patterns: &Patterns,
    text: &[u8],
    kind: JsonKind,
    span: Range<usize>,
    report: &mut Report,
) -> Option<(Range<usize>, Vec<u8>)> {
    let raw = text.get(span.clone())?;
    let replaced = match kind {
        JsonKind::Scalar => {
            let near = near(text.get(..span.start)?);
            patterns.replace(raw, report).or_else(|| patterns.replace_by_name(&near, raw, report))?
        }
        JsonKind::Name => patterns.replace(&decode(raw), report)?,
        JsonKind::Text => patterns.replace_behind(&before(text, &span), &decode(raw), report)?,
    };
    Some((span, quoted(&replaced)))
}

/// The decoded text before a leaf, up to its quote: a name may identify the leaf. Empty if neither has an escape,
/// because the scan of the bytes covers that.
pub(crate) fn before(text: &[u8], span: &Range<usize>) -> Zeroizing<Vec<u8>> {
    let before = text.get(..=span.start).unwrap_or_default();
    let wire = before.get(before.len().saturating_sub(NEAR_WIRE_BYTES_MAX)..).unwrap_or_default();
    let escaped = |part: &[u8]| memchr::memchr(b'\\', part).is_some();
    let any = escaped(wire) || escaped(text.get(span.clone()).unwrap_or_default());
    // Short texts contain no value, and there may be millions.
    if any && span.len() >= VALUE_BYTES_MIN + r#""""#.len() { near(before) } else { Zeroizing::default() }
}

/// The decoded end of the text before a value, as far as rules search it for words.
fn near(before: &[u8]) -> Zeroizing<Vec<u8>> {
    let wire = before.get(before.len().saturating_sub(NEAR_WIRE_BYTES_MAX)..).unwrap_or_default();
    let mut near = unescaped(wire);
    let far = near.len().saturating_sub(WORD_BYTES_MAX);
    near.drain(..far);
    near
}
