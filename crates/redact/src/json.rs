use std::ops::Range;

use keyroll_needle::VALUE_BYTES_MIN;
use zeroize::Zeroizing;

use crate::loose;
use crate::rules_stream::WORD_BYTES_MAX;
use crate::tokens::{empty_tokens, is_of_tokens, without_tokens};
use crate::{Report, Sought};

/// The longest JSON body that is looked at, bytes: 16 MiB. A longer one is withheld.
pub const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most lists and objects in each other, in a body or an event; what is deeper is withheld.
pub const JSON_DEPTH_MAX: usize = 1000;

/// A sign has so many bytes at most, `\u0061`: so far before a value its words are looked for as they are sent, bytes.
const NEAR_WIRE_BYTES_MAX: usize = 6 * WORD_BYTES_MAX;

/// What stands in the place of a JSON text of which not even the form may be shown.
const ALL: &[u8] = br#""[redacted]""#;

/// A step on the way to a place in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into an object, by name.
    Name(Zeroizing<Vec<u8>>),
    /// Into a list.
    At(usize),
}

/// What stands at the end of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name in an object; its way is that of the object.
    Name,
    Text,
    /// A number, `true`, `false`, `null`.
    Scalar,
}

/// Who is told of the leaves: the way to each, what it is, and where it stands.
pub(crate) type Tell<'t> = dyn FnMut(&[Step], Kind, Range<usize>) + 't;

/// Replaces in a JSON body: names, texts and numbers as they are meant, then what is left in the bytes as they are sent. Valid JSON
/// stays valid, and what is not replaced stays byte for byte.
///
/// A number that is replaced becomes a text. Where anything is replaced the tokens of a model's `logprobs` are emptied. Where a value
/// goes over texts and signs the whole body becomes the text `[redacted]`; so does a body of more than [`JSON_BYTES_MAX`] or
/// deeper than [`JSON_DEPTH_MAX`].
///
/// What is no JSON is looked at as near to it as can be: what stands between quotes as it is meant, then all of it as plain text, then
/// with every escape undone. What only the last finds has no place of its own: the whole body becomes `[redacted]`.
pub fn replace_json(sought: &Sought, body: &[u8], report: &mut Report) -> Vec<u8> {
    if !can_be_read(body) {
        return ALL.to_vec();
    }
    let (valid, mut out) = leaves_replaced(sought, body, report);
    let wire = sought.replace_again(&out, report);
    if valid && wire.as_ref().is_some_and(|wire| !visit(wire, &mut |_, _, _| {})) {
        return ALL.to_vec();
    }
    // What only the bytes show is told by its tokens as well.
    out = wire.map_or(out, |wire| without_tokens(&wire).unwrap_or(wire));
    if !valid && hides(sought, &out, report) { ALL.to_vec() } else { out }
}

/// Whether a body is neither too long nor too deep to be looked at.
pub(crate) fn can_be_read(body: &[u8]) -> bool {
    body.len() <= JSON_BYTES_MAX && !loose::is_too_deep(body)
}

/// Whether the body is JSON, and the body with its leaves replaced.
fn leaves_replaced(sought: &Sought, body: &[u8], report: &mut Report) -> (bool, Vec<u8>) {
    let (mut edits, mut found) = (Vec::new(), Report::default());
    let mut valid = false;
    for is_strict in [true, false] {
        let mut tokens = Vec::new();
        (edits, found) = (Vec::new(), Report::default());
        let mut tell = |way: &[Step], kind, span: Range<usize>| {
            if is_of_tokens(way) {
                tokens.push((kind, span.clone()));
            }
            // Without quotes of its own it may be anything: all of it is looked at as it is sent.
            if is_strict || kind != Kind::Scalar {
                edits.extend(edit(sought, body, kind, span, &mut found));
            }
        };
        if is_strict {
            valid = visit(body, &mut tell);
        } else {
            loose::visit(body, &mut tell);
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

/// Whether something is found in a text that is no JSON once its escapes are undone.
pub(crate) fn hides(sought: &Sought, text: &[u8], report: &mut Report) -> bool {
    memchr::memchr(b'\\', text).is_some() && sought.replace_again(&unescaped(text), report).is_some()
}

/// What is to be written in the place of a leaf, where anything is.
pub(crate) fn edit(
    sought: &Sought,
    text: &[u8],
    kind: Kind,
    span: Range<usize>,
    report: &mut Report,
) -> Option<(Range<usize>, Vec<u8>)> {
    let raw = text.get(span.clone())?;
    let replaced = match kind {
        Kind::Scalar => {
            let near = near(text.get(..span.start)?);
            sought.replace(raw, report).or_else(|| sought.replace_by_name(&near, raw, report))?
        }
        Kind::Name => sought.replace(&decode(raw), report)?,
        Kind::Text => sought.replace_behind(&before(text, &span), &decode(raw), report)?,
    };
    Some((span, quoted(&replaced)))
}

/// What stands before a text, with its quote, as it is meant: a name may say what the text is. Nothing where both are sent as they are
/// meant, so that the bytes show it.
pub(crate) fn before(text: &[u8], span: &Range<usize>) -> Zeroizing<Vec<u8>> {
    let before = text.get(..=span.start).unwrap_or_default();
    let wire = before.get(before.len().saturating_sub(NEAR_WIRE_BYTES_MAX)..).unwrap_or_default();
    let escaped = |part: &[u8]| memchr::memchr(b'\\', part).is_some();
    let any = escaped(wire) || escaped(text.get(span.clone()).unwrap_or_default());
    // Short ones are no values, and there may be millions.
    if any && span.len() >= VALUE_BYTES_MIN + r#""""#.len() { near(before) } else { Zeroizing::default() }
}

/// The end of what stands before a value, as it is meant, as far as a rule looks for its words.
fn near(before: &[u8]) -> Zeroizing<Vec<u8>> {
    let wire = before.get(before.len().saturating_sub(NEAR_WIRE_BYTES_MAX)..).unwrap_or_default();
    let mut near = unescaped(wire);
    let far = near.len().saturating_sub(WORD_BYTES_MAX);
    near.drain(..far);
    near
}

/// A part of a text with these replaced in it; they are in order.
pub(crate) fn apply(text: &[u8], part: Range<usize>, edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut at = part.start;
    for (span, new) in edits.iter().filter(|(span, _)| span.start >= part.start && span.end <= part.end) {
        out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
        out.extend_from_slice(new);
        at = span.end;
    }
    out.extend_from_slice(text.get(at..part.end).unwrap_or_default());
    out
}

/// Goes over a JSON text (RFC 8259) without recursion and tells every name, text and scalar, texts with their quotes. `false` = it
/// is none; what was told before is of no use then.
pub(crate) fn visit(text: &[u8], tell: &mut Tell<'_>) -> bool {
    std::str::from_utf8(text).is_ok() && value_to_end(text, tell).is_some()
}

fn value_to_end(text: &[u8], tell: &mut Tell<'_>) -> Option<()> {
    let mut way: Vec<Step> = Vec::new();
    let mut at = 0;
    loop {
        at = blanks(text, at);
        let opened = match text.get(at)? {
            b'{' => {
                at = blanks(text, at + 1);
                if text.get(at)? == &b'}' {
                    false
                } else {
                    at = name(text, at, &mut way, tell)?;
                    true
                }
            }
            b'[' => {
                at = blanks(text, at + 1);
                let empty = text.get(at)? == &b']';
                if !empty {
                    way.push(Step::At(0));
                }
                !empty
            }
            b'"' => {
                let end = string_end(text, at)?;
                tell(&way, Kind::Text, at..end);
                at = end - 1;
                false
            }
            _ => {
                let end = scalar_end(text, at)?;
                tell(&way, Kind::Scalar, at..end);
                at = end - 1;
                false
            }
        };
        if opened {
            continue;
        }
        at += 1;
        // Behind a value: the next one, or the end of what it stands in.
        loop {
            at = blanks(text, at);
            let Some(step) = way.pop() else { return (at == text.len()).then_some(()) };
            match (text.get(at)?, step) {
                (b',', Step::At(number)) => {
                    way.push(Step::At(number + 1));
                    at += 1;
                    break;
                }
                (b',', Step::Name(_)) => {
                    at = name(text, blanks(text, at + 1), &mut way, tell)?;
                    break;
                }
                (b']', Step::At(_)) | (b'}', Step::Name(_)) => at += 1,
                _ => return None,
            }
        }
    }
}

/// A name and its colon; behind them.
fn name(text: &[u8], at: usize, way: &mut Vec<Step>, tell: &mut Tell<'_>) -> Option<usize> {
    let end = (text.get(at)? == &b'"').then(|| string_end(text, at))??;
    tell(way, Kind::Name, at..end);
    way.push(Step::Name(decode(text.get(at..end)?)));
    let colon = blanks(text, end);
    (text.get(colon)? == &b':').then_some(colon + 1)
}

fn blanks(text: &[u8], at: usize) -> usize {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + text.get(at..).unwrap_or_default().iter().take_while(blank).count()
}

/// Behind the closing quote of the text that begins here.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    at += 6;
                }
                _ => return None,
            },
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

fn scalar_end(text: &[u8], start: usize) -> Option<usize> {
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    let rest = text.get(start..)?;
    let word = rest.get(..rest.iter().take_while(part).count())?;
    let good = matches!(word, b"true" | b"false" | b"null") || is_number(word);
    good.then_some(start + word.len())
}

fn is_number(word: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(word);
    if whole == 0 || whole > 1 && word.starts_with(b"0") {
        return false;
    }
    let mut rest = word.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let [b'e' | b'E', power @ ..] = rest {
        let power = power.strip_prefix(b"-").or(power.strip_prefix(b"+")).unwrap_or(power);
        return digits(power) > 0 && digits(power) == power.len();
    }
    rest.is_empty()
}

/// What a text with its quotes means.
pub(crate) fn decode(quoted: &[u8]) -> Zeroizing<Vec<u8>> {
    unescaped(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
}

/// A text with JSON's escapes undone. Half a pair of surrogates is kept, in the three bytes that UTF-8 would have for it. What is no
/// escape stays.
fn unescaped(raw: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw;
    loop {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (text, escape) = rest.split_at_checked(plain).unwrap_or_default();
        out.extend_from_slice(text);
        rest = match escape {
            [b'\\', b'u', rest @ ..] => unicode(rest, &mut out),
            // Of other languages; JSON has none.
            [b'\\', b'x', rest @ ..] => byte(rest, &mut out),
            [b'\\', sign, rest @ ..] => {
                out.push(match sign {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    sign => *sign,
                });
                rest
            }
            _ => return out,
        };
    }
}

/// Behind `\x`; what is left behind the digits.
fn byte<'t>(rest: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let digits = rest.split_at_checked(2);
    let byte = digits.and_then(|(digits, rest)| Some((u8::try_from(hexadecimal(digits)?).ok()?, rest)));
    out.push(byte.map_or(b'x', |(byte, _)| byte));
    byte.map_or(rest, |(_, rest)| rest)
}

/// Behind `\u`; what is left behind the sign.
fn unicode<'t>(rest: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let unit = |digits: &[u8]| hexadecimal(digits.get(..4)?);
    let Some(first) = unit(rest) else {
        out.extend_from_slice(br"\u");
        return rest;
    };
    let behind = rest.get(4..).unwrap_or_default();
    let second = behind.strip_prefix(br"\u").and_then(unit).filter(|unit| (0xDC00..0xE000).contains(unit));
    let (code, behind) = match second {
        Some(second) if (0xD800..0xDC00).contains(&first) => {
            (0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00), behind.get(6..).unwrap_or_default())
        }
        _ => (first, behind),
    };
    match char::from_u32(code) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
            out.extend([0xED, low(6), low(0)]);
        }
    }
    behind
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// A text as JSON writes it, with its quotes; valid whatever it is made of.
pub(crate) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let good = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        for letter in good.chars() {
            match letter {
                '"' => out.extend_from_slice(br#"\""#),
                '\\' => out.extend_from_slice(br"\\"),
                '\n' => out.extend_from_slice(br"\n"),
                '\r' => out.extend_from_slice(br"\r"),
                '\t' => out.extend_from_slice(br"\t"),
                '\0'..' ' => out.extend(format!("\\u{:04x}", u32::from(letter)).bytes()),
                _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        rest = rest.get(good.len()..).unwrap_or_default();
        rest = match rest {
            [0xED, high @ 0xA0..=0xBF, low @ 0x80..=0xBF, rest @ ..] => {
                let unit = 0xD000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f);
                out.extend(format!("\\u{unit:04x}").bytes());
                rest
            }
            [_, rest @ ..] => {
                out.extend_from_slice("\u{fffd}".as_bytes());
                rest
            }
            [] => rest,
        };
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_json_is_what_another_reader_takes_for_it(text in r#"[\[\]{}:, "\\u0-9a-fA-Fnltrue.eE+-]{0,14}"#) {
            let body = format!("[\"\\u0074\",{text}]");
            let valid = serde_json::from_str::<&serde_json::value::RawValue>(&body).is_ok();
            prop_assert_eq!(visit(body.as_bytes(), &mut |_, _, _| {}), valid, "{}", body);
        }
    }
}
