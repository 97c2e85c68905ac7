use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::index::prefixes::Prefixes;
use crate::line_wraps::search::JoinBuffers;
use crate::redaction::regions::{Region, merge, push_marker};
use crate::redaction::wiped_buffer::append_wiped;
use crate::whole_word::BEFORE_BYTES;
use crate::{Hit, NeedleId, Needles};

/// The most bytes that are shown of a possible value: most texts end in a few bytes with which some value begins, and a
/// prompt must not be held back until more arrives.
pub const HEAD_BYTES_MAX: usize = 5;

/// Input is processed in pieces of this size, so that memory stays bounded.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Replaces every occurrence of a needle in a stream by `[redacted:<name>]`, however the stream is cut; does no IO.
///
/// The output is that of [`Needles::redact`] on the whole text, except for heads: if a piece ends in at most
/// [`HEAD_BYTES_MAX`] bytes of a possible occurrence, they are shown, and if it continues, its marker follows them.
/// If they also end another occurrence, that one is replaced at once, and both get a marker. A longer start of an
/// occurrence is held back until it is decided or the stream ends, without a timeout. An incomplete UTF-8 character
/// is held back too, and a value that must be a whole word until the byte after it.
pub struct Redactor {
    prefixes: Arc<Prefixes>,
    /// Input that may be part of an occurrence.
    held: Zeroizing<Vec<u8>>,
    /// The end of the input before `held`.
    before: Zeroizing<Vec<u8>>,
    /// The same without interruptions; empty if it has none.
    joins: JoinBuffers,
    /// The offset of `held` in the stream; regions count from the start of the stream.
    base: usize,
    /// Everything before this offset was written, as text or marker.
    done: usize,
    /// Regions that may still grow, and those after them; the first may begin before `held`.
    open: Vec<Region>,
    /// The places in the stream of values at the end of `held` that may turn out to be parts of words.
    unsure: Vec<Range<usize>>,
}

/// A part of a [`Redactor`]'s output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'p> {
    /// Unchanged input.
    Text(&'p [u8]),
    /// One occurrence, or several that overlap; the id is that of the first.
    Value(NeedleId),
}

/// The undecided end of the stream.
struct UndecidedEnd {
    /// Input from here on is kept.
    keep: usize,
    /// Input before this may be shown.
    show: usize,
    /// The length of an incomplete character at the end, bytes: no marker may split it.
    letter: usize,
}

impl Redactor {
    /// Starts a stream.
    pub fn new(needles: Arc<Needles>) -> Self {
        Self::with(Arc::new(Prefixes::new(needles)))
    }

    /// A redactor for another stream; shares the index.
    pub fn another(&self) -> Self {
        Self::with(Arc::clone(&self.prefixes))
    }

    /// The values that are replaced.
    pub fn needles(&self) -> &Arc<Needles> {
        &self.prefixes.needles
    }

    fn with(prefixes: Arc<Prefixes>) -> Self {
        Self {
            prefixes,
            held: Zeroizing::default(),
            // Allocated at once: a buffer that grows leaves copies behind.
            before: Zeroizing::new(Vec::with_capacity(BEFORE_BYTES)),
            joins: JoinBuffers::default(),
            base: 0,
            done: 0,
            open: Vec::new(),
            unsure: Vec::new(),
        }
    }

    /// Replaces the needles; bytes that are held back are searched too. Ids must keep their meaning.
    pub fn set_needles(&mut self, needles: Arc<Needles>) {
        self.prefixes = Arc::new(Prefixes::new(needles));
    }

    /// Takes the needles of another redactor, as [`set_needles`](Self::set_needles) does.
    pub fn set_needles_of(&mut self, other: &Self) {
        self.prefixes = Arc::clone(&other.prefixes);
    }

    /// Bytes of the input that were neither written nor replaced yet.
    pub fn held_back(&self) -> usize {
        (self.base + self.held.len()).saturating_sub(self.done)
    }

    /// Takes a piece of the stream; appends to `out` what may be written.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let needles = Arc::clone(&self.prefixes.needles);
        self.push_to(input, &mut |piece| put(&needles, piece, out));
    }

    /// Ends the stream: writes the bytes that were held back. The next piece begins another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let needles = Arc::clone(&self.prefixes.needles);
        self.finish_to(&mut |piece| put(&needles, piece, out));
    }

    /// Like [`push`](Self::push), but returns text and values separately, in order.
    pub fn push_to(&mut self, input: &[u8], to: &mut dyn FnMut(Piece<'_>)) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            append_wiped(&mut self.held, piece);
            self.look(false);
            let undecided = self.undecided();
            self.show(&undecided, to);
        }
    }

    /// Reports occurrences that have ended, unless they may be the start of a longer one. An occurrence that begins
    /// within them is then no longer compared. A word at the end counts as a whole one.
    pub fn close_to(&mut self, to: &mut dyn FnMut(Piece<'_>)) {
        if !self.unsure.is_empty() {
            self.look(true);
        }
        let keep = self.undecided().keep;
        let closed = self.open.iter().take_while(|region| region.start < keep).count();
        for region in self.open.drain(..closed) {
            self.done = text(&self.held, self.base, self.done, region.start, to);
            to(Piece::Value(region.id));
            self.done = self.done.max(region.end);
        }
        if closed > 0 {
            let decided = self.done.saturating_sub(self.base).min(self.held.len());
            self.forget(decided);
            self.base = self.base.max(self.done);
        }
    }

    /// Like [`finish`](Self::finish), but returns text and values separately.
    pub fn finish_to(&mut self, to: &mut dyn FnMut(Piece<'_>)) {
        self.look(true);
        let end = self.base + self.held.len();
        self.show(&UndecidedEnd { keep: end, show: end, letter: 0 }, to);
        self.before.clear();
    }

    /// `ends`: nothing follows.
    fn look(&mut self, ends: bool) {
        let mut found = std::mem::take(&mut self.open);
        self.unsure.clear();
        let (base, done, unsure) = (self.base, self.done, &mut self.unsure);
        // A head that is kept may be followed by bytes that were written already.
        let mut add = |hit: Hit, decided: bool| {
            let (start, end) = (hit.start + base, hit.end + base);
            match decided {
                true if end > done => found.push(Region { start, end, id: hit.id }),
                true => {}
                false => unsure.push(start..end),
            }
        };
        self.prefixes.needles.find_joined(&self.held, (&self.before, ends), &mut self.joins, &mut add);
        self.open = merge(found);
    }

    /// Drops decided bytes of the input.
    fn forget(&mut self, bytes: usize) {
        let gone = self.held.get(..bytes).unwrap_or_default();
        let near = gone.get(gone.len().saturating_sub(BEFORE_BYTES)..).unwrap_or_default();
        let stale = (self.before.len() + near.len()).saturating_sub(BEFORE_BYTES);
        let stale = stale.min(self.before.len());
        self.before.drain(..stale);
        self.before.extend_from_slice(near);
        self.held.drain(..bytes);
    }

    /// The possible occurrence at the end of the input, also with interruptions, complete or not.
    fn undecided(&self) -> UndecidedEnd {
        let end = self.held.len();
        let mut starts = vec![(self.prefixes.undecided(&self.held), end)];
        starts.iter_mut().for_each(|(start, length)| *length -= *start);
        let unsure = self.unsure.iter().map(|word| (word.start.saturating_sub(self.base), word.len()));
        starts.extend(unsure);
        for joined in self.joins.each() {
            let from = joined.behind(end.saturating_sub(self.prefixes.needles.span_max()));
            for upto in joined.unfinished.iter().copied().chain([joined.bytes.len()]) {
                let near = joined.bytes.get(from..upto).unwrap_or_default();
                let start = from + self.prefixes.undecided(near);
                if start < upto {
                    starts.push((joined.in_text(start), joined.bytes.len() - start));
                }
            }
        }
        let first = |starts: &mut dyn Iterator<Item = usize>| self.base + starts.min().unwrap_or(end);
        UndecidedEnd {
            keep: first(&mut starts.iter().map(|(start, _)| *start)),
            show: first(
                &mut starts.iter().filter(|(_, length)| *length > HEAD_BYTES_MAX).map(|(start, _)| *start),
            ),
            letter: half_letter(&self.held),
        }
    }

    fn show(&mut self, undecided: &UndecidedEnd, to: &mut dyn FnMut(Piece<'_>)) {
        let (mut closed, mut grows) = (0, false);
        for region in &self.open {
            self.done = text(&self.held, self.base, self.done, region.start.min(undecided.show), to);
            if region.end > undecided.show {
                grows = true;
                break;
            }
            to(Piece::Value(region.id));
            self.done = self.done.max(region.end);
            closed += 1;
        }
        self.open.drain(..closed);
        let mut keep = undecided.keep;
        if !grows {
            let whole = self.base + self.held.len() - undecided.letter;
            let upto = undecided.show.min(whole).max(self.done);
            keep = keep.min(upto);
            self.done = text(&self.held, self.base, self.done, upto, to);
        }
        let decided = keep.saturating_sub(self.base).min(self.held.len());
        self.forget(decided);
        self.base = self.base.max(keep);
    }
}

/// The length of an incomplete UTF-8 character at the end of a text, bytes.
pub fn half_letter(text: &[u8]) -> usize {
    let last = text.get(text.len().saturating_sub(3)..).unwrap_or_default();
    let Some(at) = last.iter().rposition(|byte| *byte >= 0xC0) else { return 0 };
    let length = match last.get(at) {
        Some(0xF0..) => 4,
        Some(0xE0..) => 3,
        _ => 2,
    };
    let there = last.len() - at;
    if there < length { there } else { 0 }
}

/// Writes the bytes of the stream from `from` to `upto`; returns the end of what is done.
fn text(held: &[u8], base: usize, from: usize, upto: usize, to: &mut dyn FnMut(Piece<'_>)) -> usize {
    if let (Some(first), Some(last)) = (from.checked_sub(base), upto.checked_sub(base))
        && first < last
    {
        to(Piece::Text(held.get(first..last).unwrap_or_default()));
    }
    from.max(upto)
}

fn put(needles: &Needles, piece: Piece<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Text(text) => out.extend_from_slice(text),
        Piece::Value(id) => push_marker(needles, id, out),
    }
}
