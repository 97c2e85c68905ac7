use std::ops::Range;

use zeroize::Zeroizing;

use crate::json::text::decode;

/// The deepest nesting of lists and objects in a body or an event; deeper ones are withheld.
pub const JSON_DEPTH_MAX: usize = 1000;

/// A step of a path in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonStep {
    /// Into an object, by name.
    Name(Zeroizing<Vec<u8>>),
    /// Into a list.
    At(usize),
}

/// The kind of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind {
    /// A name in an object; its path is that of the object.
    Name,
    Text,
    /// A number, `true`, `false`, `null`.
    Scalar,
}

/// Receives each leaf: its path, kind and location.
pub(crate) type JsonVisitor<'t> = dyn FnMut(&[JsonStep], JsonKind, Range<usize>) + 't;

/// Visits every name, text and scalar of a JSON text (RFC 8259), texts with their quotes, without recursion. Returns
/// false if it is not JSON; earlier calls are then meaningless.
pub(crate) fn visit(text: &[u8], tell: &mut JsonVisitor<'_>) -> bool {
    std::str::from_utf8(text).is_ok() && value_to_end(text, tell).is_some()
}

fn value_to_end(text: &[u8], tell: &mut JsonVisitor<'_>) -> Option<()> {
    let mut way: Vec<JsonStep> = Vec::new();
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
                    way.push(JsonStep::At(0));
                }
                !empty
            }
            b'"' => {
                let end = string_end(text, at)?;
                tell(&way, JsonKind::Text, at..end);
                at = end - 1;
                false
            }
            _ => {
                let end = scalar_end(text, at)?;
                tell(&way, JsonKind::Scalar, at..end);
                at = end - 1;
                false
            }
        };
        if opened {
            continue;
        }
        at += 1;
        // After a value: the next one, or the end of the enclosing list or object.
        loop {
            at = blanks(text, at);
            let Some(step) = way.pop() else { return (at == text.len()).then_some(()) };
            match (text.get(at)?, step) {
                (b',', JsonStep::At(number)) => {
                    way.push(JsonStep::At(number + 1));
                    at += 1;
                    break;
                }
                (b',', JsonStep::Name(_)) => {
                    at = name(text, blanks(text, at + 1), &mut way, tell)?;
                    break;
                }
                (b']', JsonStep::At(_)) | (b'}', JsonStep::Name(_)) => at += 1,
                _ => return None,
            }
        }
    }
}

/// Parses a name and its colon; returns the position after them.
fn name(text: &[u8], at: usize, way: &mut Vec<JsonStep>, tell: &mut JsonVisitor<'_>) -> Option<usize> {
    let end = (text.get(at)? == &b'"').then(|| string_end(text, at))??;
    tell(way, JsonKind::Name, at..end);
    way.push(JsonStep::Name(decode(text.get(at..end)?)));
    let colon = blanks(text, end);
    (text.get(colon)? == &b':').then_some(colon + 1)
}

fn blanks(text: &[u8], at: usize) -> usize {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + text.get(at..).unwrap_or_default().iter().take_while(blank).count()
}

/// The end of the text that begins here, after its closing quote.
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
