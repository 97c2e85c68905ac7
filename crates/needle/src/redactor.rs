use std::sync::Arc;

use zeroize::Zeroizing;

use crate::across::Joins;
use crate::prefixes::Prefixes;
use crate::regions::{Region, merge, push_marker};
use crate::{NeedleId, Needles};

/// So many bytes of what may become a value are shown at once: most texts end in something that some value begins with, and a
/// prompt must not wait for what follows.
pub const HEAD_BYTES_MAX: usize = 5;

/// How much is taken at once, so that memory stays bounded whatever is given.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Replaces every occurrence of a needle in a stream by `[redacted:<name>]`, however the stream is cut; does no IO.
///
/// The output is that of [`Needles::redact`] on the whole, but for heads: where a piece ends in at most [`HEAD_BYTES_MAX`]
/// bytes of what may become an occurrence they are shown, and if it does its marker stands behind them. Where they are the end of
/// another occurrence that one is told at once, and the two have a marker each. A longer beginning is held back until it is
/// decided, or the stream ends: never for a time. So are the first bytes of a letter of several.
pub struct Redactor {
    prefixes: Arc<Prefixes>,
    /// Input that may be a part of something.
    held: Zeroizing<Vec<u8>>,
    /// The same without what parts it, since it was looked at last; empty where nothing does.
    joins: Joins,
    /// Where `held` begins in the stream; regions count from the start of the stream.
    base: usize,
    /// Everything before was shown, or a marker stands for it.
    done: usize,
    /// Regions that may still grow, and those behind them; the first may begin before `held`.
    open: Vec<Region>,
}

/// What comes out of a [`Redactor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'p> {
    /// Input as it was.
    Text(&'p [u8]),
    /// Here an occurrence stood, or several that overlap; named after the first.
    Value(NeedleId),
}

/// What is not decided, in the stream.
struct Undecided {
    /// From here on input is kept.
    keep: usize,
    /// Up to here it may be shown.
    show: usize,
    /// So many bytes at the end begin a letter: a marker must not stand within it.
    letter: usize,
}

impl Redactor {
    /// At the beginning of a stream.
    pub fn new(needles: Arc<Needles>) -> Self {
        Self::with(Arc::new(Prefixes::new(needles)))
    }

    /// Another one for the same needles at the beginning of another stream; what they are prepared to is shared.
    pub fn another(&self) -> Self {
        Self::with(Arc::clone(&self.prefixes))
    }

    /// What is looked for.
    pub fn needles(&self) -> &Arc<Needles> {
        &self.prefixes.needles
    }

    fn with(prefixes: Arc<Prefixes>) -> Self {
        Self {
            prefixes,
            held: Zeroizing::default(),
            joins: Joins::default(),
            base: 0,
            done: 0,
            open: Vec::new(),
        }
    }

    /// Looks for these from here on, in what is held back too. What an id stands for in both must be the same.
    pub fn look_for(&mut self, needles: Arc<Needles>) {
        self.prefixes = Arc::new(Prefixes::new(needles));
    }

    /// Looks for what another one looks for: [`look_for`](Self::look_for).
    pub fn look_for_same(&mut self, other: &Self) {
        self.prefixes = Arc::clone(&other.prefixes);
    }

    /// How many bytes were taken and not shown, nor stands a marker for them.
    pub fn held_back(&self) -> usize {
        (self.base + self.held.len()).saturating_sub(self.done)
    }

    /// Takes a piece of the stream; what may be shown is put behind `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let needles = Arc::clone(&self.prefixes.needles);
        self.push_to(input, &mut |piece| put(&needles, piece, out));
    }

    /// Ends the stream: what was held back is no value now, and is shown. The next piece begins another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let needles = Arc::clone(&self.prefixes.needles);
        self.finish_to(&mut |piece| put(&needles, piece, out));
    }

    /// As [`push`](Self::push), for who does not want markers: text and values apart, in their order.
    pub fn push_to(&mut self, input: &[u8], to: &mut dyn FnMut(Piece<'_>)) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            append(&mut self.held, piece);
            self.look();
            let undecided = self.undecided();
            self.show(&undecided, to);
        }
    }

    /// Occurrences that have ended are told now, unless they may be the beginning of a longer one. Of another one that begins within
    /// them what stands behind is compared with nothing then.
    pub fn close_to(&mut self, to: &mut dyn FnMut(Piece<'_>)) {
        let keep = self.undecided().keep;
        let closed = self.open.iter().take_while(|region| region.start < keep).count();
        for region in self.open.drain(..closed) {
            self.done = text(&self.held, self.base, self.done, region.start, to);
            to(Piece::Value(region.id));
            self.done = self.done.max(region.end);
        }
        if closed > 0 {
            let decided = self.done.saturating_sub(self.base).min(self.held.len());
            self.held.drain(..decided);
            self.base = self.base.max(self.done);
        }
    }

    /// As [`finish`](Self::finish), text and values apart.
    pub fn finish_to(&mut self, to: &mut dyn FnMut(Piece<'_>)) {
        self.look();
        let end = self.base + self.held.len();
        self.show(&Undecided { keep: end, show: end, letter: 0 }, to);
    }

    fn look(&mut self) {
        let mut found = std::mem::take(&mut self.open);
        let (base, done) = (self.base, self.done);
        // What was told already may stand behind a head that is kept.
        let mut add = |hit: crate::Hit| {
            if hit.end + base > done {
                found.push(Region { start: hit.start + base, end: hit.end + base, id: hit.id });
            }
        };
        self.prefixes.needles.find_joined(&self.held, &mut self.joins, &mut add);
        self.open = merge(found);
    }

    /// What the end of the input may become. With something within it that is no part of a value it may become one, too; and so
    /// it may where its very end becomes such a thing.
    fn undecided(&self) -> Undecided {
        let end = self.held.len();
        let mut starts = vec![(self.prefixes.undecided(&self.held), end)];
        starts.iter_mut().for_each(|(start, length)| *length -= *start);
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
        Undecided {
            keep: first(&mut starts.iter().map(|(start, _)| *start)),
            show: first(
                &mut starts.iter().filter(|(_, length)| *length > HEAD_BYTES_MAX).map(|(start, _)| *start),
            ),
            letter: half_letter(&self.held),
        }
    }

    fn show(&mut self, undecided: &Undecided, to: &mut dyn FnMut(Piece<'_>)) {
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
        self.held.drain(..decided);
        self.base = self.base.max(keep);
    }
}

/// How many bytes at the end of a text begin a letter in UTF-8 that is not complete.
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

/// Shows the bytes of the stream from `from` to `to`; up to where it is done now.
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

/// Grows into a new buffer, so that the old one is overwritten and not merely freed.
fn append(held: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    let needed = held.len() + input.len();
    if needed > held.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(input);
}
