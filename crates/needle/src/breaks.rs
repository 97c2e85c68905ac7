use std::ops::Range;

use zeroize::Zeroizing;

/// The most bytes of one terminal code that are taken for one: a link (OSC 8) holds an address.
const CODE_BYTES_MAX: usize = 2048;

/// The most bytes of a code without parameters.
const SHORT_BYTES_MAX: usize = 4;

/// The most blanks behind a line's end that are taken for its indentation.
const INDENT_BYTES_MAX: usize = 256;

/// Most lines are shorter: to copy so many bytes whatever the length is takes less time than to copy just as many.
const BLOCK_BYTES: usize = 64;

/// What may stand in the middle of a value that a writer has wrapped or coloured, and is none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// The end of a line, so many bytes; the last of them are the next one's indentation.
    /// In UTF-16 of any order it has the zero byte behind each of its bytes: where the higher byte comes first that is the next letter's,
    /// and the one before stands in its place.
    Line { length: usize, indent: usize, wide: bool },
    /// A code, so many bytes.
    Code(usize),
    /// It may be one: the text ends within it.
    Unfinished,
    /// It is none.
    None,
}

/// What is left of a line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Nothing, nor of the indentation behind it.
    Nothing,
    /// The indentation: what is taken for it may be the value's own.
    Indentation,
    /// One blank: who wraps words drops the one between them.
    Blank,
}

/// A text without what parts it: line ends with the indentation behind them, also in UTF-16 and as they are escaped in strings
/// (`\n`, `\\n`), continued lines, what goes back to a line's beginning, and codes for a terminal (ECMA-48: CSI, OSC, and those of
/// ECMA-35 without parameters).
#[derive(Default)]
pub(crate) struct Joined {
    /// What is left; the end that may become a break is in it.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// How many there are while it is made; what stands behind has no meaning then.
    length: usize,
    /// Where in it something was left out, and how many bytes of the text stand before that place that are not in it.
    cuts: Vec<Cut>,
    /// Where in the text something stands that was left out and is no line's end.
    pub(crate) odd: Vec<Range<usize>>,
    /// Where in it something begins that may become a break when more of the text is there. As long as it does not, others may part
    /// what stands behind.
    pub(crate) unfinished: Vec<usize>,
    /// Whether some line is indented.
    pub(crate) indented: bool,
    /// Where the last blank ends in it that stands for a line's end.
    blank: Option<usize>,
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
        joined.join(text, Ends::Nothing).then_some(joined)
    }

    /// The same in the memory of another one. `false` = nothing parts this text, and nothing is in `bytes`.
    pub(crate) fn join(&mut self, text: &[u8], ends: Ends) -> bool {
        self.clear();
        let mut breaks = Places::of(text).peekable();
        if breaks.peek().is_none() {
            return false;
        }
        // Never grown: what a value leaves behind in memory is overwritten.
        let room = text.len() + BLOCK_BYTES;
        if self.bytes.capacity() < room {
            self.bytes = Zeroizing::new(Vec::with_capacity(room));
        }
        self.bytes.resize(room, 0);
        let mut from = 0;
        for at in breaks {
            if at < from {
                continue;
            }
            let rest = text.get(at..).unwrap_or_default();
            // Most of them are this, which is not to be asked for last.
            if let [b'\n', behind @ ..] = rest
                && ends == Ends::Nothing
                && behind.first() != Some(&0)
            {
                self.push(text, from, at);
                let indent = indentation(behind);
                self.indented |= indent > 0;
                from = at + 1 + indent;
                continue;
            }
            match break_at(rest) {
                Break::None => {}
                Break::Unfinished => self.unfinished.push(self.length + at - from),
                Break::Code(length) => {
                    self.push(text, from, at);
                    from = at + length;
                    self.odd.push(at..from);
                }
                Break::Line { length, indent, wide } => {
                    self.push(text, from, at);
                    self.indented |= indent > 0;
                    if ends == Ends::Blank {
                        self.push_blank(if wide { b" \0" } else { b" " });
                    }
                    from = at + length - if ends == Ends::Indentation { indent } else { 0 };
                    if wide || text.get(at) == Some(&b'\\') {
                        self.odd.push(at..from);
                    }
                }
            }
        }
        self.push(text, from, text.len());
        self.bytes.truncate(self.length);
        let any = !self.cuts.is_empty() || !self.unfinished.is_empty() || self.blank.is_some();
        if !any {
            self.bytes.clear();
        }
        any
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
        self.odd.clear();
        self.unfinished.clear();
        (self.length, self.indented, self.blank) = (0, false, None);
    }

    /// In the place of the first byte of a break; of several that follow on each other, of the first one.
    fn push_blank(&mut self, blank: &[u8]) {
        if self.blank != Some(self.length)
            && let Some(there) = self.bytes.get_mut(self.length..self.length + blank.len())
        {
            there.copy_from_slice(blank);
            self.length += blank.len();
            self.blank = Some(self.length);
        }
    }

    #[inline]
    fn push(&mut self, text: &[u8], from: usize, to: usize) {
        let (at, length) = (self.length, to - from);
        if from > at + self.cuts.last().map_or(0, |cut| cut.removed) {
            self.cuts.push(Cut { at, removed: from - at });
        }
        let (there, line) = (self.bytes.get_mut(at..), text.get(from..));
        let (Some(there), Some(line)) = (there, line) else { return };
        match (there.first_chunk_mut::<BLOCK_BYTES>(), line.first_chunk()) {
            (Some(there), Some(line)) if length <= BLOCK_BYTES => *there = *line,
            _ => {
                let (Some(there), Some(line)) = (there.get_mut(..length), line.get(..length)) else { return };
                there.copy_from_slice(line);
            }
        }
        self.length += length;
    }

    /// Where a byte of what is left stands in the text.
    pub(crate) fn in_text(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|cut| cut.at <= at);
        at + before.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed)
    }

    /// Where an occurrence begins. A line's end in UTF-16 is taken with the zero byte behind it: of those beside it the last one is the
    /// letter's where the higher byte comes first.
    pub(crate) fn begin(&self, at: usize) -> usize {
        match self.bytes.get(at) {
            Some(0) => self.in_text(at + 1) - 1,
            _ => self.in_text(at),
        }
    }

    /// Where the first byte stands that is left of the text from a place on.
    pub(crate) fn behind(&self, in_text: usize) -> usize {
        let next = self.cuts.partition_point(|cut| cut.at + cut.removed <= in_text);
        let removed = next.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed);
        (in_text - removed).min(self.cuts.get(next).map_or(self.bytes.len(), |cut| cut.at))
    }

    /// Whether something was left out between the first and the last of these bytes of an occurrence.
    pub(crate) fn spans_a_break(&self, start: usize, end: usize) -> bool {
        let start = if self.bytes.get(start) == Some(&0) { start + 1 } else { start };
        let first = self.cuts.partition_point(|cut| cut.at <= start);
        self.cuts.get(first).is_some_and(|cut| cut.at < end)
    }
}

/// Where something may begin that parts a text, in order. Of a whole block it is known at once, since most lines are short.
struct Places<'t> {
    blocks: std::slice::Chunks<'t, u8>,
    /// Where the block begins.
    block: usize,
    /// One bit for each byte of the block that was not told yet.
    bits: u64,
}

impl<'t> Places<'t> {
    fn of(text: &'t [u8]) -> Self {
        let mut blocks = text.chunks(BLOCK_BYTES);
        let bits = blocks.next().map_or(0, places);
        Self { blocks, block: 0, bits }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.bits = places(self.blocks.next()?);
            self.block += BLOCK_BYTES;
        }
        let at = self.block + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }
}

/// One bit for each byte of a block that may begin what parts a text, the first the lowest.
#[inline]
fn places(block: &[u8]) -> u64 {
    let block: [u8; BLOCK_BYTES] = block.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; BLOCK_BYTES];
        padded.iter_mut().zip(block).for_each(|(to, byte)| *to = *byte);
        padded
    });
    // Without a branch for each byte, so that the compiler looks at many of them at once.
    let found = block.map(|byte| {
        u8::from(byte == b'\n') | u8::from(byte == b'\\') | u8::from(byte == b'\r') | u8::from(byte == 0x1b)
    });
    let (eights, _) = found.as_chunks::<8>();
    // The product has the lowest bits of the eight bytes side by side in its highest byte; no other two meet.
    let bits = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    eights.iter().rev().fold(0, |all, eight| all << 8 | bits(eight))
}

/// What stands at the beginning of this text.
fn break_at(text: &[u8]) -> Break {
    match text {
        [b'\n', 0, rest @ ..] => wide_line(rest),
        [b'\r', 0, ..] => wide_line(b""),
        [b'\n', rest @ ..] => line(1, rest),
        // Some write more than one before a line's end, and some go back to the beginning of the line.
        [b'\r', b'\n', rest @ ..] => line(2, rest),
        [b'\r'] => Break::Unfinished,
        [b'\r', ..] => line(1, b""),
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
        [b'\n', rest @ ..] => line(2, rest),
        [b'\r', b'\n', rest @ ..] => line(3, rest),
        [b'n', ..] => line(2, b""),
        [b'r', b'\\', b'n', ..] => line(4, b""),
        [b'\\', b'n', ..] => line(3, b""),
        [b'\\', b'r', b'\\', b'\\', b'n', ..] => line(6, b""),
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

/// An end of so many bytes, and the indentation behind it.
fn line(end: usize, rest: &[u8]) -> Break {
    let indent = indentation(rest);
    Break::Line { length: end + indent, indent, wide: false }
}

/// How many blanks stand at the beginning of a line.
#[inline]
fn indentation(rest: &[u8]) -> usize {
    let mut indent = 0;
    for eight in rest.get(..INDENT_BYTES_MAX).unwrap_or(rest).chunks(8) {
        let word = eight.first_chunk().copied().unwrap_or_else(|| {
            // Behind the end of the text stands no blank.
            let mut word = [0; 8];
            word.iter_mut().zip(eight).for_each(|(byte, there)| *byte = *there);
            word
        });
        let blanks = blanks(u64::from_le_bytes(word));
        indent += blanks;
        if blanks < 8 {
            break;
        }
    }
    indent
}

/// An end in UTF-16, and the indentation behind it.
fn wide_line(rest: &[u8]) -> Break {
    let near = rest.get(..INDENT_BYTES_MAX).unwrap_or(rest);
    // The text may end within a blank.
    let blank = |pair: &&[u8]| matches!(pair, [b' ' | b'\t', 0] | [b' ' | b'\t']);
    let indent = near.chunks(2).take_while(blank).map(<[u8]>::len).sum();
    Break::Line { length: 2 + indent, indent, wide: true }
}

/// How many blanks eight bytes begin with, without a branch for each: how deep a line is indented cannot be foretold.
#[inline]
fn blanks(word: u64) -> usize {
    // A blank and a tab in each byte are so many times this.
    const ONES: u64 = u64::MAX / 0xFF;
    const LOW: u64 = 0x7F * ONES;
    // The upper bit of each byte that is not zero.
    let not_zero = |word: u64| ((word & LOW) + LOW) | word;
    let other = not_zero(word ^ (ONES * 0x20)) & not_zero(word ^ (ONES * 0x09)) & !LOW;
    (other.trailing_zeros() / 8) as usize
}

/// Behind `ESC`: what has no parameters, as to choose letters (`ESC ( B`) or to keep the place (`ESC 7`): intermediates, one final
/// byte. Not what begins a string of its own.
fn short(rest: &[u8]) -> Break {
    let near = rest.get(..SHORT_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x2f)) {
        Some(0) if matches!(near, [b'P' | b'X' | b'^' | b'_', ..]) => Break::None,
        Some(at) if matches!(near.get(at), Some(0x30..=0x7e)) => Break::Code(at + 2),
        Some(_) => Break::None,
        None if near.len() < SHORT_BYTES_MAX => Break::Unfinished,
        None => Break::None,
    }
}

/// Behind `ESC [`: parameters, intermediates, one final byte.
fn control(rest: &[u8]) -> Break {
    let near = rest.get(..CODE_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x3f)) {
        Some(at) if matches!(near.get(at), Some(0x40..=0x7e)) => Break::Code(at + 3),
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
            Some([0x07, ..]) => Break::Code(at + 3),
            Some([0x1b, b'\\', ..]) => Break::Code(at + 4),
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
            .map(|joined| (String::from_utf8(joined.bytes.to_vec()).unwrap(), unfinished(&joined)))
    }

    /// How many bytes at its end.
    fn unfinished(joined: &Joined) -> usize {
        joined.unfinished.first().map_or(0, |first| joined.bytes.len() - first)
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
    fn behind_a_code_without_its_end_others_part_a_text() {
        let joined = Joined::of(b"a\x1b]8;;x\\nyb\\ncd\\").unwrap();
        assert_eq!(joined.bytes.as_slice(), b"a\x1b]8;;xybcd\\");
        assert_eq!(joined.unfinished, [1, 11]);
    }

    #[test]
    fn of_a_line_end_is_left_what_is_asked_for() {
        for (text, indentation, blank) in [
            ("ab\n cd", "ab cd", "ab cd"),
            ("ab\ncd", "abcd", "ab cd"),
            ("ab\r\r\n\t cd\n", "ab\t cd", "ab cd "),
            ("ab\\n\x1b[0m\n  cd", "ab  cd", "ab cd"),
            ("ab\x1b[0mcd", "abcd", "abcd"),
            ("\n\nab", "ab", " ab"),
        ] {
            for (ends, left) in [(Ends::Indentation, indentation), (Ends::Blank, blank)] {
                let mut joined = Joined::default();
                assert!(joined.join(text.as_bytes(), ends));
                assert_eq!(joined.bytes.as_slice(), left.as_bytes(), "{text:?} {ends:?}");
                for (at, byte) in left.bytes().enumerate().filter(|(_, byte)| *byte != b' ') {
                    assert_eq!(text.as_bytes()[joined.in_text(at)], byte, "{text:?} {ends:?}");
                }
            }
        }
    }

    #[test]
    fn line_ends_of_utf_16_are_left_out_with_their_zero_bytes() {
        type Unit = fn(u16) -> [u8; 2];
        for unit in [u16::to_le_bytes as Unit, u16::to_be_bytes] {
            let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(unit).collect() };
            for text in ["ab\ncd", "ab\r\ncd", "ab\rcd", "ab\n \t cd", "ab\r\n\r\n  cd"] {
                let joined = Joined::of(&wide(text)).unwrap();
                assert_eq!(joined.bytes.as_slice(), wide("abcd"), "{text:?}");
                let mut blank = Joined::default();
                blank.join(&wide(text), Ends::Blank);
                assert_eq!(blank.bytes.as_slice(), wide("ab cd"), "{text:?}");
                // What stands behind the line's end begins there, whatever comes first.
                assert_eq!(joined.begin(4), 2 * text.find('c').unwrap(), "{text:?}");
                assert!(joined.spans_a_break(0, 8) && !joined.spans_a_break(4, 8));
            }
        }
    }

    #[test]
    fn an_indentation_of_any_depth_is_left_out() {
        for depth in 0..=INDENT_BYTES_MAX + 1 {
            for (blank, behind) in [(" ", "x"), ("\t", "\u{a0}"), (" ", ""), ("\t", "\x08\x01")] {
                let text = format!("a\n{}{behind}", blank.repeat(depth));
                let rest = blank.repeat(depth.saturating_sub(INDENT_BYTES_MAX));
                assert_eq!(joined(&text), Some((format!("a{rest}{behind}"), 0)), "{depth} {behind:?}");
            }
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
        assert!(joined.odd.iter().eq(std::iter::once(&(7..9))));
        assert!(joined.spans_a_break(1, 3) && !joined.spans_a_break(2, 4) && !joined.spans_a_break(0, 2));
    }
}
