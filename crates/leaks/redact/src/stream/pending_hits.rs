use std::ops::Range;

use keyroll_needle::{NeedleId, Needles, Piece};
use zeroize::Zeroizing;

use keyroll_needle::append_wiped;

/// Bytes that are kept after the matcher has reported them: the head of a value is reported before the value.
const TOLD_BYTES: usize = 256;

/// The most unreported bytes that are kept. No rule matches a longer value.
const RAW_BYTES_MAX: usize = 256 * 1024;

/// A known value, or the text between two.
pub(crate) enum StreamPart<'p> {
    Text(&'p [u8]),
    /// The id, how many bytes of the value were already reported as text, and the value's other bytes; none if they
    /// are no longer kept.
    Value(NeedleId, usize, &'p [u8]),
}

/// The original end of a stream, so that rules can scan the known values in it too.
///
/// Text is taken only from the matcher's output, so a wrong position here can hide text, but never show a value.
#[derive(Default)]
pub(crate) struct PendingHits {
    raw: Zeroizing<Vec<u8>>,
    /// Its offset in the stream.
    base: usize,
    /// The offset in the stream up to which the matcher has reported; before `base` if more is unreported than is
    /// kept.
    place: usize,
}

impl PendingHits {
    /// Records a piece before the matcher gets it.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        append_wiped(&mut self.raw, piece);
    }

    /// The offset up to which the matcher has reported.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// The offset of the next piece.
    pub(crate) fn end(&self) -> usize {
        self.base + self.raw.len()
    }

    /// Whether all unreported bytes are kept.
    pub(crate) fn has_all(&self) -> bool {
        self.base <= self.place
    }

    /// Restarts the matcher on all unreported bytes, with `last` before them in place of the bytes that it reported
    /// last.
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

    /// Adds the bytes of values to the matcher's output.
    pub(crate) fn part<'p>(
        &'p mut self,
        needles: &Needles,
        spans: &mut ValueRanges,
        piece: Piece<'p>,
    ) -> StreamPart<'p> {
        let Self { raw, base, place } = self;
        let mut told = place.saturating_sub(*base);
        let part = part(raw, &mut told, needles, spans, piece);
        *place = match part {
            StreamPart::Text(text) => *place + text.len(),
            StreamPart::Value(..) => *base + told,
        };
        part
    }

    /// Drops old bytes after a piece, of which the matcher holds `held_back` bytes back.
    pub(crate) fn forget(&mut self, held_back: usize) {
        let length = self.raw.len();
        self.place = self.end().saturating_sub(held_back);
        let told = length.saturating_sub(held_back);
        let from = told.saturating_sub(TOLD_BYTES).max(length.saturating_sub(RAW_BYTES_MAX));
        self.raw.drain(..from);
        self.base += from;
    }
}

/// The ranges of known values in a text; computed when the first one is reported.
#[derive(Default)]
pub(crate) struct ValueRanges(Option<std::vec::IntoIter<Range<usize>>>);

impl ValueRanges {
    /// The range of the value that is reported at this position.
    fn at(&mut self, needles: &Needles, text: &[u8], at: usize) -> Option<Range<usize>> {
        let spans = self.0.get_or_insert_with(|| merged(needles, text).into_iter());
        let span = spans.find(|span| span.end > at)?;
        span.contains(&at).then_some(span)
    }
}

/// Splits a whole text; returns false, without a call, if it has no known value.
pub(crate) fn parts(needles: &Needles, text: &[u8], to: &mut dyn FnMut(StreamPart<'_>)) -> bool {
    let (mut told, mut spans) = (0, ValueRanges::default());
    needles.pieces(text, &mut |piece| to(part(text, &mut told, needles, &mut spans, piece)))
}

fn part<'p>(
    text: &'p [u8],
    told: &mut usize,
    needles: &Needles,
    spans: &mut ValueRanges,
    piece: Piece<'p>,
) -> StreamPart<'p> {
    match piece {
        Piece::Text(shown) => {
            *told += shown.len();
            StreamPart::Text(shown)
        }
        Piece::Value(id) => {
            let from = *told;
            let span = spans.at(needles, text, from).unwrap_or(from..from);
            *told = span.end;
            StreamPart::Value(id, from - span.start, text.get(from..span.end).unwrap_or_default())
        }
    }
}

/// The ranges of overlapping occurrences, in order, as the matcher reports them.
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
