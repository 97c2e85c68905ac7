//! PEM blocks that a rule's expression does not match because another program put something before or after each line
//! (a log, a quote, a frame, a comment), or lines between, or because the block breaks off.
//!
//! The expression still decides: it must match the lines of the content, joined between the block's first line and the
//! last one that belongs to it.

use std::ops::Range;

use memchr::memmem;
use zeroize::Zeroizing;

use crate::Rule;
use crate::rules::rule::{BLOCK_BYTES_MAX, goes_on};

/// RFC 7468, section 3.
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// In the headers of a key with a passphrase (RFC 1421, section 4.6.1.1).
const SEALED: &[u8] = b"4,ENCRYPTED";

/// The longest label, bytes.
const LABEL_BYTES_MAX: usize = 48;

/// The longest mark of a block's first line, bytes.
const BEGIN_BYTES_MAX: usize = BEGIN.len() + LABEL_BYTES_MAX + DASHES.len();

/// How much before a block's first line must be kept until the block has ended, bytes: the longest text before each
/// line is 256 bytes, and one more tells whether it is longer.
const CONTEXT_BYTES: usize = PREFIX_BYTES_MAX + 1;

/// How much of a line must be kept, bytes: a block's first line may begin in it.
pub const BLOCK_CONTEXT_BYTES: usize = CONTEXT_BYTES + BEGIN_BYTES_MAX;

/// The longest text before each line, bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// The most lines between a block's first line and its content: headers, and lines of others.
const LEAD_LINES_MAX: usize = 8;

/// The most lines of others between two lines of the content.
const OTHER_LINES_MAX: usize = 16;

/// The shortest first line of a content, bytes. Also the shortest run that is content whatever follows it.
const DIGITS_MIN: usize = 16;

/// How much of a content the expression must match, bytes; the rest belongs to it.
const CONFIRMED_BYTES_MAX: usize = 1024;

/// How far after the first line, on the same line, a content may begin, bytes: after headers.
const HEADERS_BYTES_MAX: usize = 256;

/// The content of a PEM block, as far as the text goes.
#[derive(Debug, Default)]
pub(crate) struct BlockLines {
    /// The ranges of the content, without the lines of others; empty as long as the expression does not match.
    pub(crate) parts: Vec<Range<usize>>,
    /// From where on following text may add to the content or change it.
    pub(crate) undecided: Option<usize>,
    /// Whether the block may go on. Then everything from its first line on decides about following text.
    pub(crate) is_open: bool,
}

impl BlockLines {
    /// The block whose first line begins at `start`. For a rule of blocks whose expression does not match there.
    pub(crate) fn of(rule: &Rule, text: &[u8], start: usize) -> Self {
        let behind = text.get(start..).unwrap_or_default();
        if !rule.is_block() || !behind.starts_with(BEGIN) || goes_on(text.get(..start).unwrap_or_default()) {
            return Self::default();
        }
        let near = behind.get(BEGIN.len()..).unwrap_or_default();
        let near = near.get(..LABEL_BYTES_MAX + DASHES.len()).unwrap_or(near);
        let label = memmem::find(near, DASHES).and_then(|at| near.get(..at));
        let Some(label) = label.filter(|label| !label.contains(&b'\n')) else {
            return Self { is_open: behind.len() < BEGIN_BYTES_MAX, ..Self::default() };
        };
        let first = BEGIN.len() + label.len() + DASHES.len();
        let is_cut = behind.len() > BLOCK_BYTES_MAX;
        let window = behind.get(..BLOCK_BYTES_MAX).unwrap_or(behind);
        let mut search = BlockSearch {
            rule,
            window,
            before: prefix(text, start),
            label,
            joined: Zeroizing::new(Vec::with_capacity(2 * CONFIRMED_BYTES_MAX)),
            is_confirmed: false,
            is_settled: false,
            frame: None,
            parts: Vec::new(),
            is_running: false,
            others: 0,
            pending: None,
        };
        search.joined.extend_from_slice(window.get(..first).unwrap_or_default());
        search.joined.push(b'\n');
        let is_open = search.run(first) && !is_cut;
        let undecided = if is_open { search.undecided() } else { None };
        let moved = search.parts.iter().map(|part| start + part.start..start + part.end);
        let parts = if search.is_confirmed { moved.collect() } else { Vec::new() };
        Self { parts, undecided: undecided.map(|at| start + at), is_open }
    }
}

/// From where on a text must be kept for the block whose first line begins at `start`: from the start of that line on,
/// if it is near. Not from before it: the first line of another block there could be cut.
pub fn block_context(text: &[u8], start: usize) -> usize {
    let from = start.saturating_sub(CONTEXT_BYTES);
    let before = text.get(from..start).unwrap_or_default();
    memchr::memrchr(b'\n', before).map_or(from, |at| from + at + 1)
}

/// The text before a block's first line, on the same line; empty if it is too long.
fn prefix(text: &[u8], start: usize) -> &[u8] {
    let before = text.get(start.saturating_sub(CONTEXT_BYTES)..start).unwrap_or_default();
    match memchr::memrchr(b'\n', before) {
        Some(at) => before.get(at + 1..).unwrap_or_default(),
        None if before.len() <= PREFIX_BYTES_MAX => before,
        None => &[],
    }
}

/// What stands before and after the content in each line, from the first line of the content.
#[derive(Debug, Clone, Copy)]
struct LineFrame<'t> {
    before: &'t [u8],
    behind: &'t [u8],
}

/// A line of a block.
enum LineContent {
    /// The range of the digits.
    Digits(Range<usize>),
    /// The range of digits at the end of the text that following text may make content.
    Undecided(Range<usize>),
    /// The start of a line that may have content.
    Start,
    /// A line of others.
    Other,
}

/// Positions are relative to the block's first line.
struct BlockSearch<'t> {
    rule: &'t Rule,
    /// From the first line on, as far as a block may reach.
    window: &'t [u8],
    /// The text before the first line.
    before: &'t [u8],
    label: &'t [u8],
    /// The first line and the content, as the expression wants them.
    joined: Zeroizing<Vec<u8>>,
    /// Whether the expression matched. Then all further lines belong to the block.
    is_confirmed: bool,
    /// Whether it matched without the last line, which following text may change.
    is_settled: bool,
    frame: Option<LineFrame<'t>>,
    parts: Vec<Range<usize>>,
    /// Whether the last complete line was content.
    is_running: bool,
    /// Lines of others since.
    others: usize,
    /// Digits at the end of the text that may become content.
    pending: Option<usize>,
}

impl<'t> BlockSearch<'t> {
    /// Reads the lines after the first one, which ends at `first`. Returns whether the block may go on.
    fn run(&mut self, first: usize) -> bool {
        let rest = self.window.get(first..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        match line.get(separators(line)..).and_then(<[u8]>::first) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                return self.on_one_line(first, line) && end.is_none();
            }
            Some(_) | None => {}
        }
        let Some(end) = end else { return true };
        let mut at = first + end + 1;
        loop {
            let behind = self.window.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', behind);
            let line = behind.get(..end.unwrap_or(behind.len())).unwrap_or_default();
            if !self.line(at, line, end.is_none()) {
                return false;
            }
            let Some(end) = end else { return true };
            at += end + 1;
        }
    }

    /// Reads a line. Returns whether the block goes on after it.
    fn line(&mut self, at: usize, line: &'t [u8], is_last: bool) -> bool {
        self.is_settled = self.is_confirmed;
        // No rule is for a key with a passphrase.
        let is_sealed = self.frame.is_none() && memmem::find(line, SEALED).is_some();
        // A mark behind another text than the content is of another block, such as a certificate in the log of another
        // container.
        let is_own = self.frame.is_none_or(|frame| compared(line, frame.before).1 == frame.before.len());
        if is_sealed || is_own && memmem::find(line, BEGIN).is_some() {
            return false;
        }
        // The last line of the content may be on the same line.
        let mark = memmem::find(line, END).filter(|_| is_own);
        let is_last = is_last && mark.is_none();
        let line = line.get(..mark.unwrap_or(line.len())).unwrap_or_default();
        let content = match self.frame {
            Some(frame) => self.further(line, frame, is_last),
            None => self.first(line, is_last),
        };
        let goes_on = match content {
            LineContent::Digits(digits) => {
                if self.frame.is_none() {
                    let before = line.get(..digits.start).unwrap_or_default();
                    self.frame =
                        Some(LineFrame { before, behind: line.get(digits.end..).unwrap_or_default() });
                }
                self.add(at, line, digits)
            }
            LineContent::Undecided(digits) => {
                self.pending = Some(at + digits.start);
                true
            }
            LineContent::Start => true,
            // The last line is not complete.
            LineContent::Other if is_last => {
                self.is_running = false;
                true
            }
            LineContent::Other => {
                self.is_running = false;
                self.others += 1;
                self.others <= if self.frame.is_some() { OTHER_LINES_MAX } else { LEAD_LINES_MAX }
            }
        };
        goes_on && mark.is_none()
    }

    /// A line that may be the first one with content. Before the content is the text before the block's first line, or
    /// its start: a name may follow it there (`app | KEY=-----BEGIN …`).
    fn first(&self, line: &[u8], is_last: bool) -> LineContent {
        let (in_line, in_before) = compared(line, self.before);
        let start = match in_before == self.before.len() {
            true => in_line,
            false => {
                let same = line.get(..in_line).unwrap_or_default();
                let start = same.len() - same.iter().rev().take_while(|byte| is_digit(**byte)).count();
                let rest = line.get(start..).unwrap_or_default();
                // No content begins like this, but comments do.
                start + rest.iter().take_while(|byte| matches!(byte, b'/' | b'+')).count()
            }
        };
        let digits = start..start + digits(line.get(start..).unwrap_or_default());
        let run = line.get(digits.clone()).unwrap_or_default();
        if run.is_empty() || !self.may_be(run) {
            return LineContent::Other;
        }
        match is_last && digits.end == line.len() {
            true if run.len() < DIGITS_MIN => LineContent::Undecided(digits),
            _ if run.len() < DIGITS_MIN => LineContent::Other,
            _ => LineContent::Digits(digits),
        }
    }

    /// A line after the first one with content.
    fn further(&self, line: &[u8], frame: LineFrame<'_>, is_last: bool) -> LineContent {
        let (start, in_before) = compared(line, frame.before);
        let ends = |at: usize| is_last && at == line.len();
        if in_before < frame.before.len() {
            return if ends(start) { LineContent::Start } else { LineContent::Other };
        }
        let digits = start..start + digits(line.get(start..).unwrap_or_default());
        let run = line.get(digits.clone()).unwrap_or_default();
        if ends(digits.end) {
            let is_undecided = run.is_empty() || is_word(run);
            return if is_undecided { LineContent::Undecided(digits) } else { LineContent::Digits(digits) };
        }
        if run.is_empty() || is_word(run) {
            return LineContent::Other;
        }
        let behind = line.get(digits.end..).unwrap_or_default();
        let (at, in_behind) = compared(behind, frame.behind);
        let is_same = at == behind.len() && (in_behind == frame.behind.len() || is_last);
        // The last line may follow on the same one.
        let is_end = behind.is_empty() || is_last && END.starts_with(behind);
        match is_same || is_end || self.is_running && run.len() >= DIGITS_MIN {
            true => LineContent::Digits(digits),
            false => LineContent::Other,
        }
    }

    /// Reads a block on one line, with escapes or spaces in place of line ends. Returns whether it may go on.
    fn on_one_line(&mut self, at: usize, line: &'t [u8]) -> bool {
        let mut from = separators(line);
        while from < line.len() {
            let run = from..from + digits(line.get(from..).unwrap_or_default());
            let found = line.get(run.clone()).unwrap_or_default();
            let is_first = self.parts.is_empty();
            let is_content = match is_first {
                true => found.len() >= DIGITS_MIN && self.may_be(found),
                false => !found.is_empty() && !is_word(found),
            };
            if is_content {
                if !self.add(at, line, run.clone()) {
                    return false;
                }
            } else if run.end == line.len() {
                self.pending = (is_first && self.may_be(found)).then_some(at + run.start);
                return true;
            } else if !is_first || from > HEADERS_BYTES_MAX {
                return false;
            }
            let behind = line.get(run.end..).unwrap_or_default();
            // A word of a header, up to what stands for a line end.
            let ends = |at: &usize| {
                behind.get(*at..).is_none_or(|rest| separators(rest) > 0 || rest.first() <= Some(&b' '))
            };
            let word = if is_content { 0 } else { (0..behind.len()).find(ends).unwrap_or(behind.len()) };
            let pause = separators(behind.get(word..).unwrap_or_default());
            from = run.end + word + pause;
            if pause == 0 {
                return from == line.len();
            }
        }
        true
    }

    /// Adds content. Returns whether the block may still be one.
    fn add(&mut self, at: usize, line: &[u8], digits: Range<usize>) -> bool {
        let span = at + digits.start..at + digits.end;
        match self.parts.last_mut() {
            Some(last) if self.is_running => last.end = span.end,
            Some(_) | None => self.parts.push(span),
        }
        (self.is_running, self.others) = (true, 0);
        if self.is_confirmed {
            return true;
        }
        let room = CONFIRMED_BYTES_MAX.saturating_sub(self.joined.len());
        let found = line.get(digits).unwrap_or_default();
        self.joined.extend_from_slice(found.get(..room).unwrap_or(found));
        let length = self.joined.len();
        for part in [b"\n", END, self.label, DASHES] {
            self.joined.extend_from_slice(part);
        }
        self.is_confirmed = self.rule.ends(&self.joined, 0) == Some(self.joined.len());
        self.joined.truncate(length);
        self.is_confirmed || length < CONFIRMED_BYTES_MAX
    }

    /// Whether a content may begin like this.
    fn may_be(&self, run: &[u8]) -> bool {
        let run = run.get(..CONFIRMED_BYTES_MAX).unwrap_or(run);
        let joined = Zeroizing::new([self.joined.as_slice(), run].concat());
        self.rule.may_go_on(&joined)
    }

    /// From where on following text decides, if the block may go on.
    fn undecided(&self) -> Option<usize> {
        match (self.parts.first(), self.parts.last()) {
            (Some(first), _) if !self.is_settled => Some(first.start),
            (_, Some(last)) if self.is_running => Some(last.start),
            _ => self.pending,
        }
    }
}

/// How far a text is the same as another one, except for numbers and the amount of spaces: the positions in both.
fn compared(text: &[u8], other: &[u8]) -> (usize, usize) {
    let (mut at, mut there) = (0, 0);
    let count = |text: &[u8], from: usize, is: fn(&u8) -> bool| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| is(byte)).count()
    };
    let is_space: fn(&u8) -> bool = |byte| matches!(byte, b' ' | b'\t' | b'\r');
    loop {
        at += count(text, at, is_space);
        there += count(other, there, is_space);
        match (text.get(at), other.get(there)) {
            (Some(one), Some(two)) if one.is_ascii_digit() && two.is_ascii_digit() => {
                at += count(text, at, u8::is_ascii_digit);
                there += count(other, there, u8::is_ascii_digit);
            }
            (Some(one), Some(two)) if one == two => (at, there) = (at + 1, there + 1),
            _ => return (at, there),
        }
    }
}

/// What stands for a line end in markup, in addresses, and in files that keep a value on one line.
const LINE_ENDS: [&[u8]; 9] =
    [b"&#10;", b"&#13;", b"&#xA;", b"&#xD;", b"<br>", b"<br/>", b"<br />", b"%0A", b"%0D"];

/// The length of spaces and escaped line ends, however often escaped: `\n`, `\\r\\n`, `&#10;`, `|`.
fn separators(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let signs = rest.iter().take_while(|byte| **byte == b'\\').count();
        let is_end = |end: &&&[u8]| rest.get(..end.len()).is_some_and(|part| part.eq_ignore_ascii_case(end));
        at += match rest.get(signs) {
            Some(b' ' | b'\t' | b'\r' | b'|') if signs == 0 => 1,
            Some(b'&' | b'<' | b'%') if signs == 0 => match LINE_ENDS.iter().find(is_end) {
                Some(end) => end.len(),
                // Cut off.
                None if LINE_ENDS.iter().any(|end| end.starts_with(rest)) => rest.len(),
                None => return at,
            },
            Some(b'n' | b'r' | b't') if signs > 0 => signs + 1,
            // Cut off.
            None if signs > 0 => signs,
            _ => return at,
        };
    }
}

/// The length of the digits of base64, with their padding. A checksum (OpenPGP) begins with a sign.
fn digits(text: &[u8]) -> usize {
    let signs = |text: &[u8]| text.iter().take_while(|byte| **byte == b'=').count();
    let lead = signs(text).min(1);
    let run = lead + text.iter().skip(lead).take_while(|byte| is_digit(**byte)).count();
    run + signs(text.get(run..).unwrap_or_default())
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Whether a run of base64 is rather a word or a number of a text.
fn is_word(run: &[u8]) -> bool {
    let rest = run.get(1..).unwrap_or_default();
    run.len() < DIGITS_MIN
        && (run.iter().all(u8::is_ascii_digit)
            || run.iter().all(u8::is_ascii_alphabetic)
                && (rest.iter().all(u8::is_ascii_lowercase) || run.iter().all(u8::is_ascii_uppercase)))
}
