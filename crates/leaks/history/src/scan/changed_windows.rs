//! Which part of a delta object is new, and which hits of its base it keeps.
//!
//! Whether a hit is found depends on its bytes and on its surrounding lines. If one copy contains all of these, the
//! hit of the base is moved; otherwise the edge of a copy is among these lines, and they are scanned again. So
//! exactly the hits of the whole object are found.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::pack::delta::DeltaStep;
use crate::scan::hit::Hit;

/// The longest hit, bytes: the limit of `keyroll-leak` for a match.
pub const HIT_BYTES_MAX: usize = 4 * 1024;

/// How many bytes before and after a hit can decide about it. `keyroll-leak` reads lines of up to 16 KiB by name, and
/// words at most 64 bytes before a value.
pub const AROUND_BYTES_MAX: usize = 16 * 1024 + 64;

/// The most lines of one hit.
pub const HIT_LINES_MAX: usize = 2;

/// The lines before and after a hit's own that can decide about it.
const LINES_BESIDE: usize = 2;

/// The lines that a window includes on each side of new bytes.
const LINES: usize = HIT_LINES_MAX + LINES_BESIDE;

/// The most bytes that a window includes on each side of new bytes.
const REACH_BYTES_MAX: usize = HIT_BYTES_MAX + AROUND_BYTES_MAX + 1;

/// Collects the ranges of an object that can have hits which its base does not have: in order, not overlapping.
pub(crate) fn windows(steps: &[DeltaStep], base: usize, bytes: &[u8], out: &mut Vec<Range<usize>>) {
    out.clear();
    let mut before: Option<DeltaStep> = None;
    for step in steps {
        let end = step.to + step.length;
        match (step.from, before) {
            (None, _) => add(step.to.saturating_sub(1)..end + 1, bytes, out),
            // Two adjacent copies that were not adjacent in the base.
            (Some(_), Some(DeltaStep { from: Some(_), .. })) => {
                add(step.to.saturating_sub(1)..step.to + 1, bytes, out)
            }
            // The object begins elsewhere than the base.
            (Some(from), None) if from != 0 => add(0..1, bytes, out),
            (Some(_), _) => {}
        }
        before = Some(*step);
    }
    // The object ends elsewhere than the base.
    if let Some(DeltaStep { to, length, from: Some(from) }) = before
        && from + length != base
    {
        add((to + length).saturating_sub(1)..to + length, bytes, out);
    }
}

/// Adds new bytes with the lines that they touch and the lines around them.
fn add(new: Range<usize>, bytes: &[u8], out: &mut Vec<Range<usize>>) {
    let end = new.end.min(bytes.len());
    let start = new.start.min(end);
    let (low, high) =
        (start.saturating_sub(REACH_BYTES_MAX), end.saturating_add(REACH_BYTES_MAX).min(bytes.len()));
    // The window begins after a line end, or as many bytes away as can matter.
    let (mut first, mut at) = (low, start);
    for line in 1..=LINES {
        let Some(found) = bytes.get(low..at).and_then(|before| memrchr(b'\n', before)) else { break };
        at = low + found;
        if line == LINES {
            first = at + 1;
        }
    }
    let (mut last, mut at) = (high, end.saturating_sub(1).max(start));
    for line in 1..=LINES {
        let Some(found) = bytes.get(at..high).and_then(|behind| memchr(b'\n', behind)) else { break };
        at += found + 1;
        if line == LINES {
            last = at;
        }
    }
    match out.last_mut() {
        Some(before) if first <= before.end => before.end = before.end.max(last),
        _ if first < last => out.push(first..last),
        _ => {}
    }
}

/// Collects the hits of the base that copies keep, at their new locations.
pub(crate) fn carried(steps: &[DeltaStep], base: &[u8], hits: &[Hit], object: usize, out: &mut Vec<Hit>) {
    if hits.is_empty() {
        return;
    }
    for step in steps {
        let Some(from) = step.from else { continue };
        let end = from + step.length;
        let begin = hits.partition_point(|hit| hit.span.start < from);
        for hit in hits.iter().skip(begin).take_while(|hit| hit.span.start < end) {
            let around = around(base, &hit.span);
            let starts = around.start.is_some_and(|start| start >= from) || (from == 0 && step.to == 0);
            let ends = around.end.is_some_and(|last| last <= end)
                || (end == base.len() && step.to + step.length == object && hit.span.end <= end);
            if starts && ends {
                let moved = hit.span.start - from + step.to;
                out.push(Hit { span: moved..moved + hit.span.len(), tag: hit.tag });
            }
        }
    }
}

/// The bytes that can decide about a hit. `None` on a side where the start or end of the object decides.
pub(crate) struct HitContext {
    pub(crate) start: Option<usize>,
    pub(crate) end: Option<usize>,
}

pub(crate) fn around(bytes: &[u8], span: &Range<usize>) -> HitContext {
    let low = span.start.saturating_sub(AROUND_BYTES_MAX);
    let before = (0..LINES_BESIDE + 1).try_fold(span.start, |at, _| {
        bytes.get(low..at).and_then(|before| memrchr(b'\n', before)).map(|found| low + found)
    });
    let start = before.or((span.start >= AROUND_BYTES_MAX).then_some(low));
    let high = span.end.saturating_add(AROUND_BYTES_MAX).min(bytes.len());
    let behind = (0..LINES_BESIDE + 1).try_fold(span.end, |at, _| {
        bytes.get(at..high).and_then(|behind| memchr(b'\n', behind)).map(|found| at + found + 1)
    });
    let end = behind.or((span.end.saturating_add(AROUND_BYTES_MAX) <= bytes.len()).then_some(high));
    HitContext { start, end }
}
