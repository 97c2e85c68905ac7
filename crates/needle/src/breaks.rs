use std::ops::Range;

use memchr::{memchr_iter, memchr2, memchr2_iter, memchr3_iter};
use zeroize::Zeroizing;

/// The most bytes of one terminal code that are taken for one: a link (OSC 8) holds an address.
const CODE_BYTES_MAX: usize = 2048;

/// The most bytes of a code without parameters.
const SHORT_BYTES_MAX: usize = 4;

/// The most blanks behind a line's end that are taken for its indentation.
const INDENT_BYTES_MAX: usize = 256;

/// What may stand in the middle of a value that a writer has wrapped or coloured, and is none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// So many bytes.
    Of(usize),
    /// It may be one: the text ends within it.
    Unfinished,
    /// It is none.
    None,
}

/// A text without what parts it: line ends with the indentation behind them, also as they are escaped in strings
/// (`\n`, `\\n`), continued lines, what goes back to a line's beginning, and codes for a terminal (ECMA-48: CSI, OSC, and those of
/// ECMA-35 without parameters).
#[derive(Default)]
pub(crate) struct Joined {
    /// What is left; the end that may become a break is in it.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Where in it something was left out, and how many bytes of the text stand before that place that are not in it.
    cuts: Vec<Cut>,
    /// Where in the text something stands that was left out and is no line's end.
    pub(crate) odd: Vec<Range<usize>>,
    /// How many bytes at its end may become a break.
    pub(crate) unfinished: usize,
}

#[derive(Clone, Copy)]
struct Cut {
    at: usize,
    removed: usize,
}

impl Joined {
    /// `None` = nothing parts this text.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let mut joined = Self::default();
        joined.join(text).then_some(joined)
    }

    /// The same in the memory of another one. `false` = nothing parts this text, and nothing is in `bytes`.
    pub(crate) fn join(&mut self, text: &[u8]) -> bool {
        self.bytes.clear();
        self.cuts.clear();
        self.odd.clear();
        self.unfinished = 0;
        // Most texts go back to no line's beginning and have no colours, which is known at once.
        match memchr2(b'\r', 0x1b, text) {
            Some(_) => self.without(text, places(text)),
            None => self.without(text, memchr2_iter(b'\n', b'\\', text)),
        }
    }

    /// Without what begins at some of these places, which are in order.
    fn without(&mut self, text: &[u8], places: impl Iterator<Item = usize>) -> bool {
        let mut breaks = places.peekable();
        if breaks.peek().is_none() {
            return false;
        }
        // Never grown: what a value leaves behind in memory is overwritten.
        if self.bytes.capacity() < text.len() {
            self.bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        }
        let mut from = 0;
        for at in breaks {
            if at < from {
                continue;
            }
            match break_at(text.get(at..).unwrap_or_default()) {
                Break::None => {}
                Break::Unfinished => {
                    self.unfinished = text.len() - at;
                    break;
                }
                Break::Of(length) => {
                    self.push(text, from, at);
                    from = at + length;
                    if !matches!(text.get(at), Some(b'\n' | b'\r')) {
                        self.odd.push(at..from);
                    }
                }
            }
        }
        self.push(text, from, text.len());
        let any = !self.cuts.is_empty() || self.unfinished > 0;
        if !any {
            self.bytes.clear();
        }
        any
    }

    fn push(&mut self, text: &[u8], from: usize, to: usize) {
        let at = self.bytes.len();
        if from > at + self.cuts.last().map_or(0, |cut| cut.removed) {
            self.cuts.push(Cut { at, removed: from - at });
        }
        self.bytes.extend_from_slice(text.get(from..to).unwrap_or_default());
    }

    /// Where a byte of what is left stands in the text.
    pub(crate) fn in_text(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|cut| cut.at <= at);
        at + before.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed)
    }

    /// Where the first byte stands that is left of the text from a place on.
    pub(crate) fn behind(&self, in_text: usize) -> usize {
        let next = self.cuts.partition_point(|cut| cut.at + cut.removed <= in_text);
        let removed = next.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed);
        (in_text - removed).min(self.cuts.get(next).map_or(self.bytes.len(), |cut| cut.at))
    }

    /// Whether something was left out between the first and the last of these bytes.
    pub(crate) fn spans_a_break(&self, start: usize, end: usize) -> bool {
        let first = self.cuts.partition_point(|cut| cut.at <= start);
        self.cuts.get(first).is_some_and(|cut| cut.at < end)
    }
}

/// Where something may begin that parts a text, in order.
fn places(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut others = memchr3_iter(b'\n', b'\\', 0x1b, text).peekable();
    let mut returns = memchr_iter(b'\r', text).peekable();
    std::iter::from_fn(move || match (others.peek(), returns.peek()) {
        (Some(other), Some(back)) if back < other => returns.next(),
        (None, Some(_)) => returns.next(),
        _ => others.next(),
    })
}

/// What stands at the beginning of this text.
fn break_at(text: &[u8]) -> Break {
    match text {
        [b'\n', rest @ ..] => Break::Of(1 + indent(rest)),
        // Some write more than one before a line's end, and some go back to the beginning of the line.
        [b'\r', b'\n', rest @ ..] => Break::Of(2 + indent(rest)),
        [b'\r'] => Break::Unfinished,
        [b'\r', ..] => Break::Of(1),
        [b'\\', rest @ ..] => escaped(rest),
        [0x1b, b'[', rest @ ..] => control(rest),
        [0x1b, b']', rest @ ..] => command(rest),
        [0x1b, rest @ ..] => short(rest),
        _ => Break::None,
    }
}

/// Behind a backslash: a line that is continued, or a line's end in a string, or in a string within a string.
fn escaped(rest: &[u8]) -> Break {
    match rest {
        [b'\n', rest @ ..] => Break::Of(2 + indent(rest)),
        [b'\r', b'\n', rest @ ..] => Break::Of(3 + indent(rest)),
        [b'n', ..] => Break::Of(2),
        [b'r', b'\\', b'n', ..] => Break::Of(4),
        [b'\\', b'n', ..] => Break::Of(3),
        [b'\\', b'r', b'\\', b'\\', b'n', ..] => Break::Of(6),
        []
        | [b'\r']
        | [b'r']
        | [b'r', b'\\']
        | [b'\\']
        | [b'\\', b'r']
        | [b'\\', b'r', b'\\']
        | [b'\\', b'r', b'\\', b'\\'] => Break::Unfinished,
        _ => Break::None,
    }
}

fn indent(rest: &[u8]) -> usize {
    rest.iter().take(INDENT_BYTES_MAX).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Behind `ESC`: what has no parameters, as to choose letters (`ESC ( B`) or to keep the place (`ESC 7`): intermediates, one final
/// byte. Not what begins a string of its own.
fn short(rest: &[u8]) -> Break {
    let near = rest.get(..SHORT_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x2f)) {
        Some(0) if matches!(near, [b'P' | b'X' | b'^' | b'_', ..]) => Break::None,
        Some(at) if matches!(near.get(at), Some(0x30..=0x7e)) => Break::Of(at + 2),
        Some(_) => Break::None,
        None if near.len() < SHORT_BYTES_MAX => Break::Unfinished,
        None => Break::None,
    }
}

/// Behind `ESC [`: parameters, intermediates, one final byte.
fn control(rest: &[u8]) -> Break {
    let near = rest.get(..CODE_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x3f)) {
        Some(at) if matches!(near.get(at), Some(0x40..=0x7e)) => Break::Of(at + 3),
        Some(_) => Break::None,
        None if near.len() < CODE_BYTES_MAX => Break::Unfinished,
        None => Break::None,
    }
}

/// Behind `ESC ]`: text up to BEL or `ESC \`.
fn command(rest: &[u8]) -> Break {
    let near = rest.get(..CODE_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| matches!(byte, 0x07 | 0x1b | b'\n')) {
        Some(at) => match near.get(at..) {
            Some([0x07, ..]) => Break::Of(at + 3),
            Some([0x1b, b'\\', ..]) => Break::Of(at + 4),
            Some([0x1b]) if at + 1 < CODE_BYTES_MAX => Break::Unfinished,
            _ => Break::None,
        },
        None if near.len() < CODE_BYTES_MAX => Break::Unfinished,
        None => Break::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Option<(String, usize)> {
        Joined::of(text.as_bytes())
            .map(|joined| (String::from_utf8(joined.bytes.to_vec()).unwrap(), joined.unfinished))
    }

    #[test]
    fn what_parts_a_value_is_left_out() {
        for text in [
            "ab\ncd",
            "ab\r\n\t  cd",
            "ab\\\n  cd",
            "ab\\\r\ncd",
            r"ab\ncd",
            r"ab\r\ncd",
            r"ab\\ncd",
            r"ab\\r\\ncd",
            "ab\x1b[31mcd",
            "ab\x1b[0;38;5;1mcd",
            "ab\x1b]8;;https://example.com\x07cd",
            "ab\x1b]8;;https://example.com\x1b\\cd",
            "ab\n\n\x1b[0m\n cd",
            "ab\rcd",
            "ab\r\r\n  cd",
            "ab\x1b(B\x1b[mcd",
            "ab\x1b7\x1b8cd",
            "ab\x1b=cd",
        ] {
            assert_eq!(joined(text), Some(("abcd".to_owned(), 0)), "{text:?}");
        }
        for text in ["abcd", "ab  cd", "ab\x1b\u{e9}cd", "ab\x1bPcd", "ab\x1b    cd"] {
            assert_eq!(joined(text), None, "{text:?}");
        }
        for (text, left) in [
            ("ab\\", 1),
            ("ab\\r", 2),
            ("ab\x1b", 1),
            ("ab\x1b[3", 3),
            ("ab\x1b]8;;x", 6),
            ("ab\\\\r\\", 4),
            ("ab\r", 1),
            ("ab\x1b(", 2),
        ] {
            assert_eq!(joined(text), Some((text.to_owned(), left)), "{text:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "ab\n  cd\\\nef";
        let joined = Joined::of(text.as_bytes()).unwrap();
        for (at, byte) in joined.bytes.iter().enumerate() {
            assert_eq!(text.as_bytes()[joined.in_text(at)], *byte);
        }
        for from in 0..=text.len() {
            let first = (0..joined.bytes.len()).find(|at| joined.in_text(*at) >= from);
            assert_eq!(joined.behind(from), first.unwrap_or(joined.bytes.len()), "{from}");
        }
        assert_eq!(joined.odd, [7..9]);
        assert!(joined.spans_a_break(1, 3) && !joined.spans_a_break(2, 4) && !joined.spans_a_break(0, 2));
    }
}
