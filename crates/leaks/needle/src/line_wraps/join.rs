use std::ops::Range;

use zeroize::Zeroizing;

/// The longest terminal code, bytes: a link (OSC 8) contains an address.
const CODE_BYTES_MAX: usize = 2048;

/// The longest terminal code without parameters, bytes.
const SHORT_BYTES_MAX: usize = 4;

/// The most spaces after a line end that count as indentation.
const INDENT_BYTES_MAX: usize = 256;

/// Most lines are shorter: copying a fixed number of bytes is faster than copying the exact number.
const BLOCK_BYTES: usize = 64;

/// An interruption in a value that a writer has wrapped or coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    /// A line end, with the length of all of it and of the next line's indentation. In UTF-16 each of its bytes is
    /// followed by a zero byte. In big-endian order that zero byte belongs to the next character, and the one before
    /// is equivalent.
    Line { length: usize, indent: usize, wide: bool },
    /// A terminal code of this length.
    Code(usize),
    /// The text ends within a possible interruption.
    Unfinished,
    /// No interruption.
    None,
}

/// What replaces a line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEndMode {
    /// Nothing; the indentation is removed too.
    Nothing,
    /// The indentation, which may be part of the value.
    Indentation,
    /// One space: word wrapping removes the space between two words.
    Blank,
}

/// A text without its interruptions: line ends with indentation, also in UTF-16 and as escaped in strings (`\n`,
/// `\\n`), continued lines, carriage returns, and terminal codes (ECMA-48: CSI, OSC; ECMA-35 without parameters).
#[derive(Default)]
pub(crate) struct JoinedText {
    /// The remaining bytes, with an unfinished interruption at the end.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Their number while they are written; bytes after it are meaningless then.
    length: usize,
    /// Where bytes were removed, and how many were removed up to there.
    cuts: Vec<RemovedRange>,
    /// Removed ranges of the text that are not plain line ends.
    pub(crate) odd: Vec<Range<usize>>,
    /// Positions in `bytes` where an interruption may begin once more text is there. Until then other interruptions
    /// may follow.
    pub(crate) unfinished: Vec<usize>,
    /// Whether a line is indented.
    pub(crate) indented: bool,
    /// The end of the last space that replaces a line end.
    blank: Option<usize>,
}

#[derive(Clone, Copy)]
struct RemovedRange {
    at: usize,
    removed: usize,
}

impl JoinedText {
    /// `None` if the text has no interruption.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let mut joined = Self::default();
        joined.join(text, LineEndMode::Nothing).then_some(joined)
    }

    /// Joins a text, reusing memory. Returns false, with `bytes` empty, if the text has no interruption.
    pub(crate) fn join(&mut self, text: &[u8], ends: LineEndMode) -> bool {
        self.clear();
        let mut breaks = InterruptionStarts::of(text).peekable();
        if breaks.peek().is_none() {
            return false;
        }
        // Allocated at once: a buffer that grows leaves copies of values behind.
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
            // Plain line ends are by far the most frequent: this arm saves `break_at` for speed only.
            if let [b'\n', behind @ ..] = rest
                && ends == LineEndMode::Nothing
                && behind.first() != Some(&0)
            {
                self.push(text, from, at);
                let indent = indentation(behind);
                self.indented |= indent > 0;
                from = at + 1 + indent;
                continue;
            }
            match break_at(rest) {
                Interruption::None => {}
                Interruption::Unfinished => self.unfinished.push(self.length + at - from),
                Interruption::Code(length) => {
                    self.push(text, from, at);
                    from = at + length;
                    self.odd.push(at..from);
                }
                Interruption::Line { length, indent, wide } => {
                    self.push(text, from, at);
                    self.indented |= indent > 0;
                    if ends == LineEndMode::Blank {
                        self.push_blank(if wide { b" \0" } else { b" " });
                    }
                    from = at + length - if ends == LineEndMode::Indentation { indent } else { 0 };
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

    /// Writes a space in place of a line end; one for several in a row.
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
            self.cuts.push(RemovedRange { at, removed: from - at });
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

    /// The location in the text of a remaining byte.
    pub(crate) fn in_text(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|cut| cut.at <= at);
        at + before.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed)
    }

    /// The start of an occurrence in the text. A line end in UTF-16 includes the following zero byte: of those beside
    /// it the last one belongs to the character in big-endian order.
    pub(crate) fn begin(&self, at: usize) -> usize {
        match self.bytes.get(at) {
            Some(0) => self.in_text(at + 1) - 1,
            _ => self.in_text(at),
        }
    }

    /// The first remaining byte at or after a location in the text.
    pub(crate) fn behind(&self, in_text: usize) -> usize {
        let next = self.cuts.partition_point(|cut| cut.at + cut.removed <= in_text);
        let removed = next.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |cut| cut.removed);
        (in_text - removed).min(self.cuts.get(next).map_or(self.bytes.len(), |cut| cut.at))
    }

    /// Whether bytes were removed between the first and last byte of an occurrence.
    pub(crate) fn spans_a_break(&self, start: usize, end: usize) -> bool {
        let start = if self.bytes.get(start) == Some(&0) { start + 1 } else { start };
        let first = self.cuts.partition_point(|cut| cut.at <= start);
        self.cuts.get(first).is_some_and(|cut| cut.at < end)
    }
}

/// The positions where an interruption may begin, in order. Found for a block at once, because most lines are short.
struct InterruptionStarts<'t> {
    blocks: std::slice::Chunks<'t, u8>,
    /// The start of the block.
    block: usize,
    /// One bit for each byte of the block that was not returned yet.
    bits: u64,
}

impl<'t> InterruptionStarts<'t> {
    fn of(text: &'t [u8]) -> Self {
        let mut blocks = text.chunks(BLOCK_BYTES);
        let bits = blocks.next().map_or(0, places);
        Self { blocks, block: 0, bits }
    }
}

impl Iterator for InterruptionStarts<'_> {
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

/// A bit for each byte of a block that may begin an interruption, the first byte lowest.
#[inline]
fn places(block: &[u8]) -> u64 {
    let block: [u8; BLOCK_BYTES] = block.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; BLOCK_BYTES];
        padded.iter_mut().zip(block).for_each(|(to, byte)| *to = *byte);
        padded
    });
    // Without branches, so that the compiler vectorises it.
    let found = block.map(|byte| {
        u8::from(byte == b'\n') | u8::from(byte == b'\\') | u8::from(byte == b'\r') | u8::from(byte == 0x1b)
    });
    let (eights, _) = found.as_chunks::<8>();
    // The product collects the lowest bits of the eight bytes in its highest byte; no two overlap.
    let bits = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    eights.iter().rev().fold(0, |all, eight| all << 8 | bits(eight))
}

/// The interruption at the start of a text.
fn break_at(text: &[u8]) -> Interruption {
    match text {
        [b'\n', 0, rest @ ..] => wide_line(rest),
        [b'\r', 0, ..] => wide_line(b""),
        [b'\n', rest @ ..] => line(1, rest),
        // Some writers put several carriage returns before a line end, and some return to the start of the line.
        [b'\r', b'\n', rest @ ..] => line(2, rest),
        [b'\r'] => Interruption::Unfinished,
        [b'\r', ..] => line(1, b""),
        [b'\\', rest @ ..] => escaped(rest),
        [0x1b, b'[', rest @ ..] => control(rest),
        [0x1b, b']', rest @ ..] => command(rest),
        [0x1b, rest @ ..] => short(rest),
        _ => Interruption::None,
    }
}

/// After a backslash: a continued line, or a line end in a string or in a nested string.
fn escaped(rest: &[u8]) -> Interruption {
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
        | [b'\\', b'r', b'\\', b'\\'] => Interruption::Unfinished,
        _ => Interruption::None,
    }
}

/// A line end of `end` bytes with the following indentation.
fn line(end: usize, rest: &[u8]) -> Interruption {
    let indent = indentation(rest);
    Interruption::Line { length: end + indent, indent, wide: false }
}

/// The number of spaces and tabs at the start of a line.
#[inline]
fn indentation(rest: &[u8]) -> usize {
    let mut indent = 0;
    for eight in rest.get(..INDENT_BYTES_MAX).unwrap_or(rest).chunks(8) {
        let word = eight.first_chunk().copied().unwrap_or_else(|| {
            // Padded with zeros, which are no spaces.
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

/// A line end in UTF-16 with the following indentation.
fn wide_line(rest: &[u8]) -> Interruption {
    let near = rest.get(..INDENT_BYTES_MAX).unwrap_or(rest);
    // The text may end within a character.
    let blank = |pair: &&[u8]| matches!(pair, [b' ' | b'\t', 0] | [b' ' | b'\t']);
    let indent = near.chunks(2).take_while(blank).map(<[u8]>::len).sum();
    Interruption::Line { length: 2 + indent, indent, wide: true }
}

/// The number of spaces and tabs at the start of eight bytes. Branch-free, because indentation is unpredictable.
#[inline]
fn blanks(word: u64) -> usize {
    // A byte repeated eight times is this times the byte.
    const ONES: u64 = u64::MAX / 0xFF;
    const LOW: u64 = 0x7F * ONES;
    // The upper bit of each non-zero byte.
    let not_zero = |word: u64| ((word & LOW) + LOW) | word;
    let other = not_zero(word ^ (ONES * 0x20)) & not_zero(word ^ (ONES * 0x09)) & !LOW;
    (other.trailing_zeros() / 8) as usize
}

/// After `ESC`: a code without parameters, such as `ESC ( B` or `ESC 7`: intermediate bytes and one final byte. Not
/// the start of a string.
fn short(rest: &[u8]) -> Interruption {
    let near = rest.get(..SHORT_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x2f)) {
        Some(0) if matches!(near, [b'P' | b'X' | b'^' | b'_', ..]) => Interruption::None,
        Some(at) if matches!(near.get(at), Some(0x30..=0x7e)) => Interruption::Code(at + 2),
        Some(_) => Interruption::None,
        None if near.len() < SHORT_BYTES_MAX => Interruption::Unfinished,
        None => Interruption::None,
    }
}

/// After `ESC [`: parameters, intermediate bytes, one final byte.
fn control(rest: &[u8]) -> Interruption {
    let near = rest.get(..CODE_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| !matches!(byte, 0x20..=0x3f)) {
        Some(at) if matches!(near.get(at), Some(0x40..=0x7e)) => Interruption::Code(at + 3),
        Some(_) => Interruption::None,
        None if near.len() < CODE_BYTES_MAX => Interruption::Unfinished,
        None => Interruption::None,
    }
}

/// After `ESC ]`: text up to BEL or `ESC \`.
fn command(rest: &[u8]) -> Interruption {
    let near = rest.get(..CODE_BYTES_MAX).unwrap_or(rest);
    match near.iter().position(|byte| matches!(byte, 0x07 | 0x1b | b'\n')) {
        Some(at) => match near.get(at..) {
            Some([0x07, ..]) => Interruption::Code(at + 3),
            Some([0x1b, b'\\', ..]) => Interruption::Code(at + 4),
            Some([0x1b]) if at + 1 < CODE_BYTES_MAX => Interruption::Unfinished,
            _ => Interruption::None,
        },
        None if near.len() < CODE_BYTES_MAX => Interruption::Unfinished,
        None => Interruption::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Option<(String, usize)> {
        JoinedText::of(text.as_bytes())
            .map(|joined| (String::from_utf8(joined.bytes.to_vec()).unwrap(), unfinished(&joined)))
    }

    /// The number of bytes at its end.
    fn unfinished(joined: &JoinedText) -> usize {
        joined.unfinished.first().map_or(0, |first| joined.bytes.len() - first)
    }

    #[test]
    fn what_interrupts_a_value_is_left_out() {
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
    fn other_interruptions_count_after_an_unfinished_terminal_code() {
        let joined = JoinedText::of(b"a\x1b]8;;x\\nyb\\ncd\\").unwrap();
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
            for (ends, left) in [(LineEndMode::Indentation, indentation), (LineEndMode::Blank, blank)] {
                let mut joined = JoinedText::default();
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
                let joined = JoinedText::of(&wide(text)).unwrap();
                assert_eq!(joined.bytes.as_slice(), wide("abcd"), "{text:?}");
                let mut blank = JoinedText::default();
                blank.join(&wide(text), LineEndMode::Blank);
                assert_eq!(blank.bytes.as_slice(), wide("ab cd"), "{text:?}");
                // The byte after the line end is there, whatever the byte order.
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
        let joined = JoinedText::of(text.as_bytes()).unwrap();
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
