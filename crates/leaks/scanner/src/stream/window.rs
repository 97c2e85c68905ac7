use std::io::{self, Read};
use std::ops::Range;

use jiff::civil::Date;
use keyroll_leak::gitleaks::TextOrigin;
use keyroll_leak::{FAR_BYTES_MAX, NEAR_BYTES_MAX};
use zeroize::Zeroizing;

use crate::detector::allow_comment::{Allow, in_line, is_alone};
use crate::detector::text_kind::TextReading;
use crate::detector::{Detector, Hit};
use crate::stream::lines::Lines;
use crate::{Accepted, Position};

/// How much text before a position is scanned with it, bytes.
pub(crate) const BEHIND_BYTES: usize = FAR_BYTES_MAX + NEAR_BYTES_MAX;

/// How much of a line is searched for a comment, bytes on either side.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Memory for a window.
pub(crate) type Room = Zeroizing<Vec<u8>>;

/// A part of a text, with the text around it that decides about findings.
pub(crate) struct Window {
    room: Room,
    /// The length of the text.
    filled: usize,
    /// Findings that begin here belong to this window and no other.
    own: Range<usize>,
    /// Whether it is the end of the text.
    pub(crate) is_last: bool,
}

impl Window {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.room.get(..self.filled).unwrap_or_default()
    }

    /// How much of it the next window does not contain.
    pub(crate) fn passed(&self) -> usize {
        self.own.end.saturating_sub(BEHIND_BYTES)
    }

    /// Its memory, for reuse.
    pub(crate) fn into_room(self) -> Room {
        self.room
    }
}

/// Cuts a text into windows while it is read.
///
/// A window has only the findings that begin before its last bytes: the next window begins earlier, and contains the
/// others completely.
pub(crate) struct Windows<'r> {
    from: &'r mut dyn Read,
    size: usize,
    ahead: usize,
    /// The end of the last window, with which the next one begins.
    tail: Room,
    /// Where new text begins in it.
    fresh: usize,
    total: u64,
    broken: Option<io::Error>,
}

impl<'r> Windows<'r> {
    /// Windows of `size` bytes, of which the last `ahead` ones belong to the next window.
    pub(crate) fn new(from: &'r mut dyn Read, size: usize, ahead: usize) -> Self {
        Self { from, size, ahead, tail: Room::default(), fresh: 0, total: 0, broken: None }
    }

    /// Reads the next window into this memory, which grows for the first window that needs it. Text before a read
    /// error is a window too.
    pub(crate) fn next(&mut self, mut room: Room) -> Window {
        let mut filled = self.tail.len();
        if room.len() < filled {
            room = Zeroizing::new(vec![0; self.size]);
        }
        room.iter_mut().zip(self.tail.iter()).for_each(|(to, from)| *to = *from);
        let is_last = loop {
            let (read, broken) = fill(self.from, room.get_mut(filled..).unwrap_or_default());
            filled += read;
            self.total += read as u64;
            let ended = broken.is_some() || filled < room.len();
            self.broken = broken;
            if ended || filled >= self.size {
                break ended;
            }
            // The old memory is wiped.
            let mut wide = Zeroizing::new(vec![0; self.size]);
            wide.iter_mut().zip(room.iter()).for_each(|(to, from)| *to = *from);
            room = wide;
        };
        let end = if is_last { filled } else { filled.saturating_sub(self.ahead) };
        let window = Window { room, filled, own: self.fresh..end, is_last };
        // Most texts are one window. Wiping a copy of it would take as long as a tenth of the search.
        if !is_last {
            self.tail.clear();
            self.tail.extend_from_slice(window.bytes().get(window.passed()..).unwrap_or_default());
            self.fresh = end - window.passed();
        }
        window
    }

    /// The number of bytes that were read.
    ///
    /// # Errors Why reading ended early.
    pub(crate) fn read(self) -> io::Result<u64> {
        self.broken.map_or(Ok(self.total), Err)
    }
}

/// Reads until the buffer is full or the input ends; returns the error, if any, that ended it.
pub(crate) fn fill(from: &mut dyn Read, into: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// A finding with its position.
pub(crate) struct LocatedHit {
    pub(crate) hit: Hit,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

/// What is searched in the windows of a text.
pub(crate) struct WindowScan<'t> {
    pub(crate) detector: &'t Detector,
    pub(crate) today: Date,
    /// `None` for binary data.
    pub(crate) reading: Option<TextReading>,
    pub(crate) place: TextOrigin<'t>,
}

/// The findings of a window. Lines are counted from the start of its own part.
pub(crate) struct WindowFindings {
    pub(crate) spotted: Vec<LocatedHit>,
    /// All of its lines.
    pub(crate) lines: Lines,
}

impl WindowScan<'_> {
    pub(crate) fn at(&self, window: &Window) -> WindowFindings {
        let (bytes, own) = (window.bytes(), &window.own);
        let (mut lines, mut counted) = (Lines::new(), own.start);
        let mut spotted = Vec::new();
        for hit in self.detector.find(bytes, self.reading.as_ref(), self.place) {
            if !own.contains(&hit.span.start) {
                continue;
            }
            lines.pass(bytes.get(counted..hit.span.start).unwrap_or_default());
            counted = hit.span.start;
            let mut behind = lines;
            behind.pass(bytes.get(hit.span.clone()).unwrap_or_default());
            let allow = allowed(bytes, &hit.span, self.today);
            let (accepted, remark) = self.detector.judged(allow, &hit.what);
            let (start, end) = (lines.position(), behind.position());
            spotted.push(LocatedHit { hit, start, end, accepted, remark });
        }
        lines.pass(bytes.get(counted..own.end).unwrap_or_default());
        WindowFindings { spotted, lines }
    }
}

/// The comment in a finding's line, or alone in the line before.
pub(crate) fn allowed(text: &[u8], span: &Range<usize>, today: Date) -> Option<Allow> {
    let near = span.start.saturating_sub(LINE_BYTES_MAX);
    let before = text.get(near..span.start)?;
    let start = memchr::memrchr(b'\n', before).map_or(near, |last| near + last + 1);
    let far = text.len().min(span.end.saturating_add(LINE_BYTES_MAX));
    let behind = text.get(span.end..far)?;
    let end = memchr::memchr(b'\n', behind).map_or(far, |first| span.end + first);
    let own = in_line(text.get(start..end)?, today);
    own.or_else(|| {
        let above = text.get(near..start.checked_sub(1)?)?;
        // In a tar, the first line of a member follows the zeros of its header.
        let first = memchr::memrchr2(b'\n', 0, above).map_or(0, |last| last + 1);
        let line = above.get(first..).filter(|line| is_alone(line))?;
        in_line(line, today)
    })
}
