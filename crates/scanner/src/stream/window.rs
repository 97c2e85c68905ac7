use std::io::{self, Read};
use std::ops::Range;

use jiff::civil::Date;
use keyroll_leak::gitleaks::At as InTree;
use keyroll_leak::{FAR_BYTES_MAX, NEAR_BYTES_MAX};
use zeroize::Zeroizing;

use crate::seeker::allow::{Allow, in_line, is_alone};
use crate::seeker::reading::Reading;
use crate::seeker::{Hit, Seeker};
use crate::stream::lines::Lines;
use crate::{Accepted, Position};

/// What stands before a place and is looked at for its sake, bytes.
pub(crate) const BEHIND_BYTES: usize = FAR_BYTES_MAX + NEAR_BYTES_MAX;

/// The most of a line that is looked at for a comment, bytes on either side.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Room for a window.
pub(crate) type Room = Zeroizing<Vec<u8>>;

/// A part of a text, with what stands around it and decides what is found in it.
pub(crate) struct Window {
    room: Room,
    /// How much of the room is text.
    filled: usize,
    /// What begins here is found in this window, and in no other.
    own: Range<usize>,
    /// Nothing stands behind it.
    pub(crate) is_last: bool,
}

impl Window {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.room.get(..self.filled).unwrap_or_default()
    }

    /// How much of it the next one does not have.
    pub(crate) fn passed(&self) -> usize {
        self.own.end.saturating_sub(BEHIND_BYTES)
    }

    /// Its memory, for another one.
    pub(crate) fn into_room(self) -> Room {
        self.room
    }
}

/// Cuts a text into windows while it is read.
///
/// Only what begins before the last bytes of a window is found in it: the next one begins earlier and sees it whole.
pub(crate) struct Windows<'r> {
    from: &'r mut dyn Read,
    size: usize,
    ahead: usize,
    /// The end of the last window, with which the next one begins.
    tail: Room,
    /// Where what is new begins in it.
    fresh: usize,
    total: u64,
    broken: Option<io::Error>,
}

impl<'r> Windows<'r> {
    /// Of so many bytes each, of which the last ones are looked at ahead.
    pub(crate) fn new(from: &'r mut dyn Read, size: usize, ahead: usize) -> Self {
        Self { from, size, ahead, tail: Room::default(), fresh: 0, total: 0, broken: None }
    }

    /// The next one, in this room, which is made larger for the first that needs it. What was read before it broke is one, too.
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
            // What was there is wiped.
            let mut wide = Zeroizing::new(vec![0; self.size]);
            wide.iter_mut().zip(room.iter()).for_each(|(to, from)| *to = *from);
            room = wide;
        };
        let end = if is_last { filled } else { filled.saturating_sub(self.ahead) };
        let window = Window { room, filled, own: self.fresh..end, is_last };
        self.tail.clear();
        self.tail.extend_from_slice(window.bytes().get(window.passed()..).unwrap_or_default());
        self.fresh = end - window.passed();
        window
    }

    /// How many bytes were read.
    ///
    /// # Errors
    /// Why there were no more of them.
    pub(crate) fn read(self) -> io::Result<u64> {
        self.broken.map_or(Ok(self.total), Err)
    }
}

/// As much as there is, up to the whole; and why there is no more, where that is an error.
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

/// Something in a text.
pub(crate) struct Spotted {
    pub(crate) hit: Hit,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

/// What is looked for in the windows of a text.
pub(crate) struct Looking<'t> {
    pub(crate) seeker: &'t Seeker,
    pub(crate) today: Date,
    /// `None` where it is none that people read.
    pub(crate) reading: Option<Reading>,
    pub(crate) place: InTree<'t>,
}

/// What a window has. Lines are counted from where its own part begins.
pub(crate) struct Seen {
    pub(crate) spotted: Vec<Spotted>,
    /// All of its lines.
    pub(crate) lines: Lines,
}

impl Looking<'_> {
    pub(crate) fn at(&self, window: &Window) -> Seen {
        let (bytes, own) = (window.bytes(), &window.own);
        let (mut lines, mut counted) = (Lines::new(), own.start);
        let mut spotted = Vec::new();
        for hit in self.seeker.find(bytes, self.reading.as_ref(), self.place) {
            if !own.contains(&hit.span.start) {
                continue;
            }
            lines.pass(bytes.get(counted..hit.span.start).unwrap_or_default());
            counted = hit.span.start;
            let mut behind = lines;
            behind.pass(bytes.get(hit.span.clone()).unwrap_or_default());
            let allow = allowed(bytes, &hit.span, self.today);
            let (accepted, remark) = self.seeker.judged(allow, &hit.what);
            let (start, end) = (lines.position(), behind.position());
            spotted.push(Spotted { hit, start, end, accepted, remark });
        }
        lines.pass(bytes.get(counted..own.end).unwrap_or_default());
        Seen { spotted, lines }
    }
}

/// What its line says of it, or the one before where that says nothing else.
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
        // The first line of what a tar has stands behind the zeros of its header.
        let first = memchr::memrchr2(b'\n', 0, above).map_or(0, |last| last + 1);
        let line = above.get(first..).filter(|line| is_alone(line))?;
        in_line(line, today)
    })
}
