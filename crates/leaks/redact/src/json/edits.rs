use std::ops::Range;

/// A part of a text with these edits applied; they are in order.
pub(crate) fn apply(text: &[u8], part: Range<usize>, edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut at = part.start;
    for (span, new) in edits.iter().filter(|(span, _)| span.start >= part.start && span.end <= part.end) {
        out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
        out.extend_from_slice(new);
        at = span.end;
    }
    out.extend_from_slice(text.get(at..part.end).unwrap_or_default());
    out
}
