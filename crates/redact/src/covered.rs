use std::ops::Range;

use keyroll_needle::{NeedleId, Needles, Piece};
use zeroize::Zeroizing;

use crate::rules_stream::append;

/// So much of what was told is kept, bytes: the head of a value was shown before it, with what stands within it.
const TOLD_BYTES: usize = 256;

/// The most that is kept of what is not told yet, bytes. No rule goes over so long a value.
const RAW_BYTES_MAX: usize = 256 * 1024;

/// A known value, or the text between two.
pub(crate) enum Part<'p> {
    Text(&'p [u8]),
    /// With its bytes, but for so many that were told as text before; none where they are not kept any more.
    Value(NeedleId, usize, &'p [u8]),
}

/// The end of a stream as it was, so that rules can look at the known values in it as well.
///
/// What the matcher says is text is taken from the matcher alone: a wrong place here can hide something, and show nothing.
#[derive(Default)]
pub(crate) struct Covered {
    raw: Zeroizing<Vec<u8>>,
    /// Where in the stream it begins.
    base: usize,
    /// Up to where in the stream it was told; before its beginning where more is not told than is kept.
    place: usize,
}

impl Covered {
    /// Before a piece is given to the matcher.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        append(&mut self.raw, piece);
    }

    /// Up to where in the stream it was told.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Where in the stream the next piece begins.
    pub(crate) fn end(&self) -> usize {
        self.base + self.raw.len()
    }

    /// Whether all that was not told is kept.
    pub(crate) fn has_all(&self) -> bool {
        self.base <= self.place
    }

    /// The matcher begins anew and is given all of this: in place of the last bytes that were told these, of which some are so again.
    pub(crate) fn again(&mut self, last: &[u8]) -> Zeroizing<Vec<u8>> {
        let untold = self.raw.get(self.place.saturating_sub(self.base)..).unwrap_or_default();
        let mut raw = Zeroizing::new(Vec::with_capacity(last.len() + self.raw.len()));
        raw.extend_from_slice(last);
        raw.extend_from_slice(untold);
        self.base = self.place.saturating_sub(last.len());
        self.place = self.base;
        self.raw = raw.clone();
        raw
    }

    /// What the matcher told, with the bytes of values; `at` is where the last one of this piece ended.
    pub(crate) fn part<'p>(&'p mut self, needles: &Needles, spans: &mut Spans, piece: Piece<'p>) -> Part<'p> {
        let Self { raw, base, place } = self;
        let mut told = place.saturating_sub(*base);
        let part = part(raw, &mut told, needles, spans, piece);
        *place = match part {
            Part::Text(text) => *place + text.len(),
            Part::Value(..) => *base + told,
        };
        part
    }

    /// Behind a piece, of which the matcher holds so many bytes back.
    pub(crate) fn forget(&mut self, held_back: usize) {
        let length = self.raw.len();
        self.place = self.end().saturating_sub(held_back);
        let told = length.saturating_sub(held_back);
        let from = told.saturating_sub(TOLD_BYTES).max(length.saturating_sub(RAW_BYTES_MAX));
        self.raw.drain(..from);
        self.base += from;
    }
}

/// Where the known values stand in a text; looked for when the first one is told.
#[derive(Default)]
pub(crate) struct Spans(Option<std::vec::IntoIter<Range<usize>>>);

impl Spans {
    /// Where the one stands that is told at this place.
    fn at(&mut self, needles: &Needles, text: &[u8], at: usize) -> Option<Range<usize>> {
        let spans = self.0.get_or_insert_with(|| merged(needles, text).into_iter());
        let span = spans.find(|span| span.end > at)?;
        span.contains(&at).then_some(span)
    }
}

/// A whole text in parts; `false`, and nothing told, where no known value is in it.
pub(crate) fn parts(needles: &Needles, text: &[u8], to: &mut dyn FnMut(Part<'_>)) -> bool {
    let (mut told, mut spans) = (0, Spans::default());
    needles.pieces(text, &mut |piece| to(part(text, &mut told, needles, &mut spans, piece)))
}

fn part<'p>(
    text: &'p [u8],
    told: &mut usize,
    needles: &Needles,
    spans: &mut Spans,
    piece: Piece<'p>,
) -> Part<'p> {
    match piece {
        Piece::Text(shown) => {
            *told += shown.len();
            Part::Text(shown)
        }
        Piece::Value(id) => {
            let from = *told;
            let span = spans.at(needles, text, from).unwrap_or(from..from);
            *told = span.end;
            Part::Value(id, from - span.start, text.get(from..span.end).unwrap_or_default())
        }
    }
}

/// The unions of occurrences that overlap, in their order, as the matcher tells them.
pub(crate) fn merged(needles: &Needles, text: &[u8]) -> Vec<Range<usize>> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    needles.find_all(text, &mut |hit| all.push((hit.start, hit.end)));
    all.sort_unstable();
    let mut merged: Vec<Range<usize>> = Vec::new();
    for (start, end) in all {
        match merged.last_mut() {
            Some(last) if start < last.end => last.end = last.end.max(end),
            Some(_) | None => merged.push(start..end),
        }
    }
    merged
}
