use std::ops::Range;

use crate::byte_search::places;
use crate::encoded_forms::decoded_text::{DecodedText, ENCODED_BYTES_MAX};

/// Entities of HTML and XML for signs.
const ENTITIES: [(&[u8], u8); 5] =
    [(b"&quot;", b'"'), (b"&apos;", b'\''), (b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>')];

/// A space in a form (`application/x-www-form-urlencoded`) cannot be told from a digit of base64, except here.
const SPACE_IN_FORM: &[u8] = b"-----BEGIN+";

/// Decodes every text that has escapes of letters, digits, quotes and the signs of addresses: from the quote or line
/// end before it to the one after it.
pub(crate) fn each_escaped(text: &[u8], take: &mut dyn FnMut(&DecodedText)) {
    let (mut done, mut skip) = (0, 0);
    for at in memchr::memchr3_iter(b'%', b'\\', b'&', text) {
        if at < skip.max(done) {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        if !may_be_first(rest) {
            continue;
        }
        let Some((length, byte)) = escape(rest) else {
            // Backslashes are counted from the first one.
            skip = at + rest.iter().take_while(|byte| **byte == b'\\').count();
            continue;
        };
        if !hides(byte) || !is_first(text, at, rest) {
            skip = at + length;
            continue;
        }
        let (start, end) = around(text, done, at);
        done = end.max(at + length);
        if let Some(start) = start.filter(|start| end - start <= ENCODED_BYTES_MAX) {
            take(&undone(text, start..end));
        }
    }
}

/// Whether a text may begin with the first escape of another. Most signs are an operator, the end of a line, or a quote
/// with one backslash.
fn may_be_first(rest: &[u8]) -> bool {
    match rest {
        [b'%', high, ..] => high.is_ascii_hexdigit(),
        [b'\\', sign, ..] => matches!(sign, b'\\' | b'x' | b'u' | b'/'),
        [b'&', sign, ..] => matches!(sign, b'#' | b'q' | b'a'),
        _ => false,
    }
}

/// Whether a sign must be decoded to recognise a credential.
fn hides(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"\"'_-:/@=.+".contains(&byte)
}

/// Whether an escape is one that no other search reads: those see through `\"`.
fn is_first(text: &[u8], at: usize, rest: &[u8]) -> bool {
    let signs = rest.iter().take_while(|byte| **byte == b'\\').count();
    let quote = matches!(rest.get(signs), Some(b'"' | b'\''));
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    before != Some(&b'\\') && (!quote || signs >= 3)
}

/// The escape at the beginning of a text: its length, and the byte that it stands for.
fn escape(text: &[u8]) -> Option<(usize, u8)> {
    match text {
        [b'%', high, low, ..] => Some((3, pair(*high, *low)?)),
        [b'\\', b'x', high, low, ..] => Some((4, pair(*high, *low)?)),
        [b'\\', ..] => {
            let signs = text.iter().take_while(|byte| **byte == b'\\').count();
            match text.get(signs..)? {
                [b'u', b'0', b'0', high, low, ..] => Some((signs + 5, pair(*high, *low)?)),
                [sign @ (b'"' | b'\'' | b'/'), ..] if signs % 2 == 1 => Some((signs + 1, *sign)),
                _ => None,
            }
        }
        [b'&', b'#', rest @ ..] => {
            let length = memchr::memchr(b';', rest.get(..rest.len().min(5))?)?;
            let number = str::from_utf8(rest.get(..length)?).ok()?;
            let byte = match number.strip_prefix(['x', 'X']) {
                Some(number) => u8::from_str_radix(number, 16),
                None => number.parse(),
            };
            byte.ok().map(|byte| (length + 3, byte))
        }
        [b'&', b'q' | b'a' | b'l' | b'g', ..] => {
            let entity = ENTITIES.iter().find(|(entity, _)| text.starts_with(entity));
            entity.map(|(entity, byte)| (entity.len(), *byte))
        }
        _ => None,
    }
}

pub(crate) fn pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Where the text around an escape begins, if it is near, and where it ends. The escapes of an address (RFC 3986)
/// stand for its spaces and quotes too, so only one word is needed, and its name.
fn around(text: &[u8], from: usize, at: usize) -> (Option<usize>, usize) {
    let first = at.saturating_sub(ENCODED_BYTES_MAX).max(from);
    let before = text.get(first..at).unwrap_or_default();
    let upto = text.len().min(at.saturating_add(ENCODED_BYTES_MAX + 1));
    let behind = text.get(at..upto).unwrap_or_default();
    let (start, length) = match behind {
        [b'%', ..] => (words_before(before), behind.iter().position(ends_word).unwrap_or(behind.len())),
        _ => (begin(before), end(behind)),
    };
    let start = start.or_else(|| (first == from).then_some(0));
    (start.map(|start| first + start), at + length)
}

/// How many words before an address belong to it: its name, and a sign or a scheme.
const WORDS_BEFORE: usize = 2;

/// Where the words begin that belong to the one at the end of a text.
fn words_before(text: &[u8]) -> Option<usize> {
    let line = memchr::memrchr2(b'\n', 0, text).map(|last| last + 1);
    let word = |upto: usize| {
        let text = text.get(line.unwrap_or_default()..upto).unwrap_or_default();
        text.iter().rposition(ends_word).map(|last| line.unwrap_or_default() + last + 1)
    };
    let mut start = word(text.len()).or(line)?;
    for _ in 0..WORDS_BEFORE {
        let before = text.get(..start).unwrap_or_default();
        let end = before.iter().rposition(|byte| !ends_word(byte)).map_or(0, |last| last + 1);
        start = word(end).or(line).unwrap_or_default();
    }
    Some(start)
}

fn ends_word(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b'\r' | b'\n' | 0)
}

/// Where the quoted text or line begins that goes on to the end.
fn begin(text: &[u8]) -> Option<usize> {
    let line = memchr::memrchr2(b'\n', 0, text).map(|last| last + 1);
    let mut quotes = memchr::memrchr3_iter(b'"', b'\'', b'`', text).take_while(|place| Some(*place) >= line);
    quotes.find(|place| ends_quote(text, *place)).map(|last| last + 1).or(line)
}

fn end(text: &[u8]) -> usize {
    let line = memchr::memchr2(b'\n', 0, text).and_then(|line| text.get(..line)).unwrap_or(text);
    let mut quotes = memchr::memchr3_iter(b'"', b'\'', b'`', line);
    quotes.find(|place| ends_quote(line, *place)).unwrap_or(line.len())
}

/// Whether a quote ends a text: no backslash belongs to it.
fn ends_quote(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
}

/// A text without its escapes.
fn undone(text: &[u8], range: Range<usize>) -> DecodedText {
    let within = text.get(range.clone()).unwrap_or_default();
    let in_form = places(within, SPACE_IN_FORM).next().is_some();
    let mut plain = DecodedText::new("escapes", within.len());
    let mut at = 0;
    while let Some(rest) = within.get(at..).filter(|rest| !rest.is_empty()) {
        let signs = memchr::memchr3(b'%', b'\\', b'&', rest).unwrap_or(rest.len());
        let space = memchr::memchr(b'+', rest).filter(|_| in_form).unwrap_or(rest.len());
        let (same, rest) = rest.split_at_checked(signs.min(space)).unwrap_or_default();
        plain.copy(same, range.start + at);
        at += same.len();
        let Some(first) = rest.first() else { break };
        let (length, byte) = escape(rest).unwrap_or(match first {
            b'+' => (1, b' '),
            first => (1, *first),
        });
        plain.push(byte, range.start + at..range.start + at + length);
        at += length;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, Option<Range<usize>>)> {
        let mut found = Vec::new();
        each_escaped(text.as_bytes(), &mut |plain| {
            let all = 0..plain.bytes.len();
            found.push((String::from_utf8_lossy(&plain.bytes).into_owned(), plain.in_text(&all)));
        });
        found
    }

    #[test]
    fn a_text_with_escapes_goes_from_quote_to_quote() {
        let all = |text: &str, span: Range<usize>| vec![(text.to_owned(), Some(span))];
        assert_eq!(shown(r#"x = "a\u005fb c" "y""#), all("a_b c", 5..15));
        assert_eq!(shown("a %5F b\nc"), all("a _", 0..5));
        assert_eq!(shown("x = \"a b\", \"c%5Fd\""), all("b\", \"c_d", 7..17));
        assert_eq!(shown("one two three %5Fb%5F four"), all("two three _b_", 4..21));
        assert_eq!(shown(r#"{"m":"{\\\"a\\\":1}"}"#), all(r#"{"a":1}"#, 6..19));
        assert_eq!(shown(r#"{"m":"https:\/\/h\/"}"#), all("https://h/", 6..19));
        assert_eq!(shown("<a b=\"&quot;x&amp;&#39;\">"), all("\"x&'", 6..23));
        assert_eq!(shown("%5f\n%5F").len(), 2);
    }

    #[test]
    fn other_signs_are_left_alone() {
        for text in [
            r#"{"m":"{\"a\":1}"}"#,
            r#"x = "a\\" + "b""#,
            "100% of %d and %02x",
            r"a\nb\tc",
            "a && b & c; &amp; &lt;",
            "caf\\u00e9 \\u4e2d",
            r"\\u12",
        ] {
            assert!(shown(text).is_empty(), "{text}");
        }
        assert!(shown(&format!("%5f{}", "x".repeat(ENCODED_BYTES_MAX))).is_empty());
    }
}
