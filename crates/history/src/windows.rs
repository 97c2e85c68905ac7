//! Which part of an object is new when most of it was copied, and which hits came with what was copied.
//!
//! Whether a hit is there depends on its own bytes and on those around it in its lines. If all of these were copied
//! in one piece, the base has the hit and it is moved; if not, a border of what was copied stands among them, and the
//! lines there are looked at again. So every hit of the object is found, and none that it does not have.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::delta::Step;
use crate::look::Hit;

/// The longest hit, bytes: `keyroll-leak` bounds what a rule matches to this.
pub const HIT_BYTES_MAX: usize = 4 * 1024;

/// How far before and behind a hit, in its lines and those beside them, what is there may depend on the bytes. `keyroll-leak`
/// reads lines of 16 KiB by name, and looks for a word at most 64 bytes before a value.
pub const AROUND_BYTES_MAX: usize = 16 * 1024 + 64;

/// The most lines that a hit stands in.
pub const HIT_LINES_MAX: usize = 2;

/// How many lines on either side of a hit's own decide about it, too.
const LINES_BESIDE: usize = 2;

/// How many lines a window goes from what is new, at most: a hit may end in the line beside it.
const LINES: usize = HIT_LINES_MAX + LINES_BESIDE;

/// How far a window goes from what is new, at most.
const REACH_BYTES_MAX: usize = HIT_BYTES_MAX + AROUND_BYTES_MAX + 1;

/// The ranges of an object in which a hit stands that its base does not have, in order, not overlapping.
pub(crate) fn windows(steps: &[Step], base: usize, bytes: &[u8], out: &mut Vec<Range<usize>>) {
    out.clear();
    let mut before: Option<Step> = None;
    for step in steps {
        let end = step.to + step.length;
        match (step.from, before) {
            (None, _) => add(step.to.saturating_sub(1)..end + 1, bytes, out),
            // Two copies side by side, which were not so in the base.
            (Some(_), Some(Step { from: Some(_), .. })) => {
                add(step.to.saturating_sub(1)..step.to + 1, bytes, out)
            }
            // The object begins where the base did not.
            (Some(from), None) if from != 0 => add(0..1, bytes, out),
            (Some(_), _) => {}
        }
        before = Some(*step);
    }
    // The object ends where the base did not.
    if let Some(Step { to, length, from: Some(from) }) = before
        && from + length != base
    {
        add((to + length).saturating_sub(1)..to + length, bytes, out);
    }
}

/// Adds what is new, with the lines that it touches and as many more as a hit may have.
fn add(new: Range<usize>, bytes: &[u8], out: &mut Vec<Range<usize>>) {
    let end = new.end.min(bytes.len());
    let start = new.start.min(end);
    let (low, high) =
        (start.saturating_sub(REACH_BYTES_MAX), end.saturating_add(REACH_BYTES_MAX).min(bytes.len()));
    // The window begins behind the line end before the lines, or as far away as may matter.
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

/// The hits of the base that came with what was copied, at their new places.
pub(crate) fn carried(steps: &[Step], base: &[u8], hits: &[Hit], object: usize, out: &mut Vec<Hit>) {
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

/// What a hit depends on: its lines and those beside them with the line ends around them, or as many bytes as may matter.
/// Nothing on a side where the object's own beginning or end is what matters.
pub(crate) struct Around {
    pub(crate) start: Option<usize>,
    pub(crate) end: Option<usize>,
}

pub(crate) fn around(bytes: &[u8], span: &Range<usize>) -> Around {
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
    Around { start, end }
}
