use std::ops::Range;

use crate::candidate::LINE_BYTES_MAX;
use crate::inline_context::words::is_quote;

/// How far from a value text can decide about it, bytes, except the head of a table.
pub const FAR_BYTES_MAX: usize = LINE_BYTES_MAX;

/// The line at a position, with its end.
pub(crate) fn line_from(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
    let end = memchr::memchr(b'\n', rest).map_or(text.len(), |end| start + end + 1);
    (end - start <= LINE_BYTES_MAX).then_some(start..end)
}

pub(crate) fn line_before(text: &[u8], end: usize) -> Option<Range<usize>> {
    let before = text.get(..end.checked_sub(1)?)?;
    let start = memchr::memrchr(b'\n', before).map_or(0, |last| last + 1);
    (end - start <= LINE_BYTES_MAX).then_some(start..end)
}

/// A line without the marks before it: of a diff (`+`, `-`; of a merge `++`, ` +`), of a quote or a comment (`> `, `# `,
/// `| `). A dash before a name is a list's.
pub(crate) fn unmarked(text: &[u8], line: &Range<usize>) -> Range<usize> {
    let marks = match text.get(line.clone()).unwrap_or_default() {
        // Three signs are a diff's names of files, or separate documents.
        [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => 0,
        [b'-', b' ', behind, ..] if *behind != b' ' => 0,
        [b'+' | b'-', b'+' | b'-', ..] | [b' ', b'+', ..] => 2,
        [b'+' | b'-' | b'>' | b'#', ..] | [b'<' | b'|', b' ', ..] => 1,
        _ => 0,
    };
    line.start + marks..line.end
}

/// `name: value`, `- "name": "value",`: the ranges of both, without quotes.
pub(crate) fn setting(text: &[u8], line: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let raw = text.get(line.clone())?;
    let sign = raw.iter().position(|byte| matches!(byte, b':' | b'='))?;
    let from = unmarked(text, line).start.min(line.start + sign);
    let name = bare(text, from..line.start + sign);
    let value = bare(text, line.start + sign + 1..line.end);
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let word = text.get(name.clone())?;
    (!word.is_empty() && word.iter().all(good)).then_some((name, value))
}

/// Without surrounding spaces, a list's dash, a comma, quotes.
pub(crate) fn bare(text: &[u8], span: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (span.start, span.end);
    let at = |at: usize| text.get(at).copied().unwrap_or_default();
    let skips = |start: usize| at(start).is_ascii_whitespace() || at(start) == b'-' && at(start + 1) == b' ';
    while start < end && skips(start) {
        start += 1;
    }
    while start < end && (at(end - 1).is_ascii_whitespace() || at(end - 1) == b',') {
        end -= 1;
    }
    if end - start >= 2 && is_quote(at(start)) && at(start) == at(end - 1) {
        (start, end) = (start + 1, end - 1);
    }
    start..end
}

pub(crate) fn word(text: &[u8], span: &Range<usize>) -> String {
    String::from_utf8_lossy(text.get(span.clone()).unwrap_or_default()).into_owned()
}
