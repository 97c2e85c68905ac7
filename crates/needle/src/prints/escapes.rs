use std::ops::Range;

use memchr::{memchr_iter, memmem};

use crate::Encoding;
use crate::prints::table::WINDOW_BYTES;
use crate::prints::view::View;

/// The most bytes of a text that one byte of a value takes, escaped twice: `\\u003c`.
pub(crate) const ESCAPE_BYTES_MAX: usize = 7;
/// What is decoded before and behind escapes: a window, and the end of an escape within an escape.
const REACH_BYTES: usize = 2 * WINDOW_BYTES;
/// A text that is searched for two bytes at once.
const LONG_BYTES_MIN: usize = 1024;
/// So many bytes of escapes are decoded at once.
const CLUSTER_BYTES_MAX: usize = 4096;
/// By so much two of such pieces overlap, so that every window with escapes is whole in one.
const OVERLAP_BYTES: usize = 2 * WINDOW_BYTES * ESCAPE_BYTES_MAX;

/// One way of writing a byte as others.
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

/// What one escape stands for.
struct Letter {
    /// Its bytes in the text.
    length: usize,
    /// What it reads.
    bytes: [u8; 4],
    /// How many of them.
    count: usize,
}

impl Letter {
    fn byte(length: usize, byte: u8) -> Self {
        Self { length, bytes: [byte, 0, 0, 0], count: 1 }
    }

    fn char(length: usize, letter: char) -> Self {
        let mut bytes = [0; 4];
        let count = letter.encode_utf8(&mut bytes).len();
        Self { length, bytes, count }
    }
}

/// How a writer escapes: what has to be undone, the outermost first.
pub(crate) struct Escaping {
    pub(crate) encoding: Encoding,
    steps: &'static [Escape],
}

/// Every way in which a value without blanks is escaped. (A form differs from other percent-encoding in its blanks.)
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

    /// What each of its kind begins with: one byte, or two that are rare where one is not.
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

    /// What stands at the beginning of this text.
    fn letter(self, text: &[u8]) -> Option<Letter> {
        match (self, text) {
            (Self::Percent, [b'%', high, low, ..]) => {
                Some(Letter::byte(3, u8::try_from(number(&[*high, *low], 16)?).ok()?))
            }
            (Self::Json, [b'\\', b'u', ..]) => unit(text),
            (Self::Json, [b'\\', sign, ..]) => Some(Letter::byte(2, json_sign(*sign)?)),
            (Self::Xml, [b'&', rest @ ..]) => entity(rest),
            (Self::Apostrophe, [b'\'', b'\'', ..]) => Some(Letter::byte(2, b'\'')),
            (Self::Quote, [b'"', b'"', ..]) => Some(Letter::byte(2, b'"')),
            (Self::Dollar, [b'$', b'$', ..]) => Some(Letter::byte(2, b'$')),
            (Self::Pgpass, [b'\\', sign @ (b':' | b'\\'), ..]) => Some(Letter::byte(2, *sign)),
            _ => None,
        }
    }

    /// The places of all in a text, in their order; none within another.
    fn places(self, text: &[u8], on_place: &mut dyn FnMut(usize, &Letter)) {
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
            // To prepare for two bytes takes longer than a short text.
            [_, _] if text.len() >= LONG_BYTES_MIN => memmem::find_iter(text, self.begins()).for_each(look),
            [first, ..] => memchr_iter(*first, text).for_each(&mut look),
            [] => {}
        }
    }

    /// A view with its escapes undone; `None` = it has none.
    fn undone(self, view: &View) -> Option<View> {
        let mut out: Option<View> = None;
        let mut from = 0;
        let copy = |out: &mut View, range: Range<usize>| {
            for (index, byte) in view.bytes.iter().enumerate().take(range.end).skip(range.start) {
                out.push(*byte, view.from(index));
            }
        };
        self.places(&view.bytes, &mut |at, letter| {
            let out = out.get_or_insert_with(|| View::with_room_for(view.bytes.len()));
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

/// Digits as a number; `None` = not digits, or none.
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

/// `\u` and a unit of UTF-16, or two for one letter.
fn unit(text: &[u8]) -> Option<Letter> {
    let unit = |at: usize| match text.get(at..at + 6)? {
        [b'\\', b'u', digits @ ..] => number(digits, 16),
        _ => None,
    };
    let first = unit(0)?;
    if let Some(letter) = char::from_u32(first) {
        return Some(Letter::char(6, letter));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    let upper = first.checked_sub(0xd800).filter(|upper| *upper < 0x400)?;
    Some(Letter::char(12, char::from_u32(0x1_0000 + (upper << 10 | (second - 0xdc00)))?))
}

/// Behind `&`.
fn entity(rest: &[u8]) -> Option<Letter> {
    const NAMED: [(&[u8], char); 5] =
        [(b"amp;", '&'), (b"lt;", '<'), (b"gt;", '>'), (b"quot;", '"'), (b"apos;", '\'')];
    if let Some(digits) = rest.strip_prefix(b"#") {
        let end = digits.iter().take(8).position(|byte| *byte == b';')?;
        let digits = digits.get(..end)?;
        let letter = match digits {
            [b'x' | b'X', hex @ ..] => number(hex, 16)?,
            decimal => number(decimal, 10)?,
        };
        return Some(Letter::char(end + 3, char::from_u32(letter)?));
    }
    let (name, letter) = NAMED.iter().find(|(name, _)| rest.starts_with(name))?;
    Some(Letter::char(name.len() + 1, *letter))
}

/// The pieces of a text in which something is escaped, decoded in every way that undoes it; with no more around them than a
/// window may reach. Where blanks stand closer together than the shortest value is long there is none.
pub(crate) fn near(text: &[u8], shortest: usize, on_view: &mut dyn FnMut(&View)) {
    for escape in Escape::ALL {
        let mut emit = |piece: Range<usize>| {
            let from = piece.start.saturating_sub(REACH_BYTES);
            let view = View::of(text, from, (piece.end + REACH_BYTES).min(text.len()));
            // Any of them finds the window; what stands around it may be escaped in other ways.
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

/// How many bytes without a blank stand around these, with them; no more are counted than matter.
fn without_blank(text: &[u8], from: usize, to: usize, enough: usize) -> usize {
    let solid = |byte: &&u8| !matches!(byte, b' ' | b'\t');
    let before = text.get(..from).unwrap_or_default().iter().rev().take(enough).take_while(solid).count();
    let behind = text.get(to..).unwrap_or_default().iter().take(enough).take_while(solid).count();
    before + to - from + behind
}

/// The ways in which something is escaped within these bytes.
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
    /// The view with all of it undone; `None` = the innermost is not there.
    pub(crate) fn undo(&self, view: &View) -> Option<View> {
        let (last, first) = self.steps.split_last()?;
        let outer = first
            .iter()
            .fold(None, |outer: Option<View>, step| step.undone(outer.as_ref().unwrap_or(view)).or(outer));
        last.undone(outer.as_ref().unwrap_or(view))
    }
}

/// The place at or before `from` where no escape can have begun: what is decoded from there reads as the writer meant it.
pub(crate) fn beginning(text: &[u8], from: usize) -> usize {
    let sign = |byte: &&u8| matches!(byte, b'\\' | b'\'' | b'"' | b'$' | b'%' | b'&');
    from - text.get(..from).unwrap_or_default().iter().rev().take(OVERLAP_BYTES).take_while(sign).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(escape: Escape, text: &str) -> Option<String> {
        let view = escape.undone(&View::of(text.as_bytes(), 0, text.len()))?;
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
        let view = twice.undo(&View::of(text, 3, text.len())).unwrap();
        assert_eq!(view.bytes.as_slice(), b"a\"b<c");
        let from: Vec<usize> = (0..=5).map(|index| view.from(index)).collect();
        assert_eq!(from, [3, 4, 8, 9, 16, 17]);
        assert_eq!(view.made_of(9), 3..4);
    }
}
