use std::ops::Range;

use memchr::{memchr_iter, memmem};

use crate::Encoding;
use crate::fingerprints::decoded_text::DecodedText;
use crate::fingerprints::table::WINDOW_BYTES;

/// The most bytes of text for one byte of a value that is escaped twice: `\\u003c`.
pub(crate) const ESCAPE_BYTES_MAX: usize = 7;
/// The bytes around escapes that are decoded with them: a window, and the end of a nested escape.
const REACH_BYTES: usize = 2 * WINDOW_BYTES;
/// From this length on a text is searched for two-byte marks directly.
const LONG_BYTES_MIN: usize = 1024;
/// The most bytes of escapes that are decoded at once.
const CLUSTER_BYTES_MAX: usize = 4096;
/// The overlap of two such pieces, so that one of them has every window completely.
const OVERLAP_BYTES: usize = 2 * WINDOW_BYTES * ESCAPE_BYTES_MAX;

/// One way to escape a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// `%2F`.
    Percent,
    /// `\"`, `\/`, `\u00e9`.
    Json,
    /// `&amp;`, `&#39;`, `&#x27;`.
    Xml,
    /// `''`.
    Apostrophe,
    /// `""`.
    Quote,
    /// `$$`.
    Dollar,
    /// `\:` and `\\`.
    Pgpass,
}

/// A decoded escape.
struct DecodedEscape {
    /// Its length in the text, bytes.
    length: usize,
    /// The decoded bytes.
    bytes: [u8; 4],
    /// Their number.
    count: usize,
}

impl DecodedEscape {
    fn byte(length: usize, byte: u8) -> Self {
        Self { length, bytes: [byte, 0, 0, 0], count: 1 }
    }

    fn char(length: usize, letter: char) -> Self {
        let mut bytes = [0; 4];
        let count = letter.encode_utf8(&mut bytes).len();
        Self { length, bytes, count }
    }
}

/// The escapes that one writer applies, the outermost first.
pub(crate) struct Escaping {
    pub(crate) encoding: Encoding,
    steps: &'static [Escape],
}

/// Every way in which a value without spaces is escaped. (Forms differ from percent-encoding only in spaces.)
const ESCAPINGS: [Escaping; 10] = [
    Escaping { encoding: Encoding::Percent, steps: &[Escape::Percent] },
    Escaping { encoding: Encoding::Json, steps: &[Escape::Json] },
    Escaping { encoding: Encoding::JsonTwice, steps: &[Escape::Json, Escape::Json] },
    Escaping { encoding: Encoding::Xml, steps: &[Escape::Xml] },
    Escaping { encoding: Encoding::Quoted, steps: &[Escape::Apostrophe] },
    Escaping { encoding: Encoding::Quoted, steps: &[Escape::Quote] },
    Escaping { encoding: Encoding::Dollars, steps: &[Escape::Dollar] },
    Escaping { encoding: Encoding::Dollars, steps: &[Escape::Apostrophe, Escape::Dollar] },
    Escaping { encoding: Encoding::Dollars, steps: &[Escape::Json, Escape::Dollar] },
    Escaping { encoding: Encoding::Pgpass, steps: &[Escape::Pgpass] },
];

impl Escape {
    const ALL: [Self; 7] =
        [Self::Percent, Self::Json, Self::Xml, Self::Apostrophe, Self::Quote, Self::Dollar, Self::Pgpass];

    /// The first byte of each escape, or its first two if one byte is too common.
    fn begins(self) -> &'static [u8] {
        match self {
            Self::Percent => b"%",
            Self::Json | Self::Pgpass => b"\\",
            Self::Xml => b"&",
            Self::Apostrophe => b"''",
            Self::Quote => b"\"\"",
            Self::Dollar => b"$$",
        }
    }

    /// Decodes the escape at the start of a text.
    fn letter(self, text: &[u8]) -> Option<DecodedEscape> {
        match (self, text) {
            (Self::Percent, [b'%', high, low, ..]) => {
                Some(DecodedEscape::byte(3, u8::try_from(number(&[*high, *low], 16)?).ok()?))
            }
            (Self::Json, [b'\\', b'u', ..]) => unit(text),
            (Self::Json, [b'\\', sign, ..]) => Some(DecodedEscape::byte(2, json_sign(*sign)?)),
            (Self::Xml, [b'&', rest @ ..]) => entity(rest),
            (Self::Apostrophe, [b'\'', b'\'', ..]) => Some(DecodedEscape::byte(2, b'\'')),
            (Self::Quote, [b'"', b'"', ..]) => Some(DecodedEscape::byte(2, b'"')),
            (Self::Dollar, [b'$', b'$', ..]) => Some(DecodedEscape::byte(2, b'$')),
            (Self::Pgpass, [b'\\', sign @ (b':' | b'\\'), ..]) => Some(DecodedEscape::byte(2, *sign)),
            _ => None,
        }
    }

    /// Finds all escapes in a text, in order, without overlaps.
    fn places(self, text: &[u8], on_place: &mut dyn FnMut(usize, &DecodedEscape)) {
        let mut from = 0;
        let mut look = |at: usize| {
            if at >= from
                && let Some(letter) = self.letter(text.get(at..).unwrap_or_default())
            {
                on_place(at, &letter);
                from = at + letter.length;
            }
        };
        match self.begins() {
            // For a short text the preparation takes longer than the search.
            [_, _] if text.len() >= LONG_BYTES_MIN => memmem::find_iter(text, self.begins()).for_each(look),
            [first, ..] => memchr_iter(*first, text).for_each(&mut look),
            [] => {}
        }
    }

    /// The text unescaped once; `None` if it has no such escape.
    fn undone(self, view: &DecodedText) -> Option<DecodedText> {
        let mut out: Option<DecodedText> = None;
        let mut from = 0;
        let copy = |out: &mut DecodedText, range: Range<usize>| {
            for (index, byte) in view.bytes.iter().enumerate().take(range.end).skip(range.start) {
                out.push(*byte, view.from(index));
            }
        };
        self.places(&view.bytes, &mut |at, letter| {
            let out = out.get_or_insert_with(|| DecodedText::with_room_for(view.bytes.len()));
            copy(out, from..at);
            letter.bytes.iter().take(letter.count).for_each(|byte| out.push(*byte, view.from(at)));
            from = at + letter.length;
        });
        let mut out = out?;
        copy(&mut out, from..view.bytes.len());
        out.end(view.from(view.bytes.len()));
        Some(out)
    }
}

/// Parses digits; `None` if there are none, or other characters.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.first()?;
    digits.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}

fn json_sign(sign: u8) -> Option<u8> {
    match sign {
        b'"' | b'\\' | b'/' => Some(sign),
        b'b' => Some(0x8),
        b'f' => Some(0xc),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

/// Decodes `\u` and one UTF-16 unit, or two for one character.
fn unit(text: &[u8]) -> Option<DecodedEscape> {
    let unit = |at: usize| match text.get(at..at + 6)? {
        [b'\\', b'u', digits @ ..] => number(digits, 16),
        _ => None,
    };
    let first = unit(0)?;
    if let Some(letter) = char::from_u32(first) {
        return Some(DecodedEscape::char(6, letter));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    let upper = first.checked_sub(0xd800).filter(|upper| *upper < 0x400)?;
    Some(DecodedEscape::char(12, char::from_u32(0x1_0000 + (upper << 10 | (second - 0xdc00)))?))
}

/// Decodes an entity, given the text after `&`.
fn entity(rest: &[u8]) -> Option<DecodedEscape> {
    const NAMED: [(&[u8], char); 5] =
        [(b"amp;", '&'), (b"lt;", '<'), (b"gt;", '>'), (b"quot;", '"'), (b"apos;", '\'')];
    if let Some(digits) = rest.strip_prefix(b"#") {
        let end = digits.iter().take(8).position(|byte| *byte == b';')?;
        let digits = digits.get(..end)?;
        let letter = match digits {
            [b'x' | b'X', hex @ ..] => number(hex, 16)?,
            decimal => number(decimal, 10)?,
        };
        return Some(DecodedEscape::char(end + 3, char::from_u32(letter)?));
    }
    let (name, letter) = NAMED.iter().find(|(name, _)| rest.starts_with(name))?;
    Some(DecodedEscape::char(name.len() + 1, *letter))
}

/// Finds the pieces of a text with escapes, and decodes them in every way, with as much text around them as a window
/// needs. Skips pieces whose spaces are closer together than the shortest value is long.
pub(crate) fn near(text: &[u8], shortest: usize, on_view: &mut dyn FnMut(&DecodedText)) {
    for escape in Escape::ALL {
        let mut emit = |piece: Range<usize>| {
            let from = piece.start.saturating_sub(REACH_BYTES);
            let view = DecodedText::of(text, from, (piece.end + REACH_BYTES).min(text.len()));
            // Any of these ways finds the window; the text around it may use others too.
            let ways = ESCAPINGS.iter().filter(|way| way.steps.contains(&escape));
            ways.filter_map(|way| way.undo(&view)).for_each(|view| on_view(&view));
        };
        let mut open: Option<Range<usize>> = None;
        escape.places(text, &mut |at, letter| {
            let end = at + letter.length;
            match &mut open {
                Some(piece) if at <= piece.end + 2 * REACH_BYTES && piece.len() < CLUSTER_BYTES_MAX => {
                    piece.end = end;
                }
                Some(piece) if at <= piece.end + 2 * REACH_BYTES => {
                    emit(piece.clone());
                    open = Some(at.saturating_sub(OVERLAP_BYTES)..end);
                }
                Some(_) | None if without_blank(text, at, end, shortest) >= shortest => {
                    if let Some(piece) = open.replace(at..end) {
                        emit(piece);
                    }
                }
                Some(_) | None => {}
            }
        });
        if let Some(piece) = open {
            emit(piece);
        }
    }
}

/// The length of the run without spaces around these bytes, as far as it matters.
fn without_blank(text: &[u8], from: usize, to: usize, enough: usize) -> usize {
    let solid = |byte: &&u8| !matches!(byte, b' ' | b'\t');
    let before = text.get(..from).unwrap_or_default().iter().rev().take(enough).take_while(solid).count();
    let behind = text.get(to..).unwrap_or_default().iter().take(enough).take_while(solid).count();
    before + to - from + behind
}

/// The ways of escaping that occur in a text.
pub(crate) fn ways(text: &[u8]) -> impl Iterator<Item = &'static Escaping> {
    let here = Escape::ALL.map(|escape| {
        let mut any = false;
        escape.places(text, &mut |_, _| any = true);
        (escape, any)
    });
    let has = move |step: &Escape| here.iter().any(|(escape, any)| escape == step && *any);
    ESCAPINGS.iter().filter(move |way| way.steps.iter().any(has))
}

impl Escaping {
    /// The text unescaped completely; `None` if the innermost escape does not occur.
    pub(crate) fn undo(&self, view: &DecodedText) -> Option<DecodedText> {
        let (last, first) = self.steps.split_last()?;
        let outer = first.iter().fold(None, |outer: Option<DecodedText>, step| {
            step.undone(outer.as_ref().unwrap_or(view)).or(outer)
        });
        last.undone(outer.as_ref().unwrap_or(view))
    }
}

/// The last position at or before `from` that is not inside an escape: decoding from there gives the writer's text.
pub(crate) fn beginning(text: &[u8], from: usize) -> usize {
    let sign = |byte: &&u8| matches!(byte, b'\\' | b'\'' | b'"' | b'$' | b'%' | b'&');
    from - text.get(..from).unwrap_or_default().iter().rev().take(OVERLAP_BYTES).take_while(sign).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(escape: Escape, text: &str) -> Option<String> {
        let view = escape.undone(&DecodedText::of(text.as_bytes(), 0, text.len()))?;
        Some(String::from_utf8(view.bytes.to_vec()).unwrap())
    }

    #[test]
    fn what_is_escaped_reads_as_it_was() {
        for (escape, text, reads) in [
            (Escape::Percent, "a%2Fb%2fc%C3%A9%4", "a/b/c\u{e9}%4"),
            (Escape::Json, r#"a\"b\\c\/d\u00e9\n\uD83D\udd11"#, "a\"b\\c/d\u{e9}\n\u{1f511}"),
            (Escape::Xml, "a&amp;b&lt;&gt;&quot;&apos;&#39;&#x27;&#xE9;&nbsp;", "a&b<>\"'''\u{e9}&nbsp;"),
            (Escape::Apostrophe, "it''s'", "it's'"),
            (Escape::Quote, "a\"\"b\"", "a\"b\""),
            (Escape::Dollar, "a$$b$", "a$b$"),
            (Escape::Pgpass, r"a\:b\\c\d", r"a:b\c\d"),
        ] {
            assert_eq!(undone(escape, text).as_deref(), Some(reads), "{text}");
        }
        for (escape, text) in [
            (Escape::Percent, "100% of %zz"),
            (Escape::Json, r"\x \u12 \ud83d \ud83d\x"),
            (Escape::Xml, "a & b &; &#; &#x; &#1114112; &#99999999999;"),
        ] {
            assert_eq!(undone(escape, text), None, "{text}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = br#"xx a\\\"b\\u003cc"#;
        let twice = &ESCAPINGS[2];
        let view = twice.undo(&DecodedText::of(text, 3, text.len())).unwrap();
        assert_eq!(view.bytes.as_slice(), b"a\"b<c");
        let from: Vec<usize> = (0..=5).map(|index| view.from(index)).collect();
        assert_eq!(from, [3, 4, 8, 9, 16, 17]);
        assert_eq!(view.made_of(9), 3..4);
    }
}
