use std::ops::Range;

use super::expression::is_wide;

/// How much of a line is looked at before and behind what was found in it, bytes: lines of minified code have no end.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// What was found, as allow-lists and filters see it.
pub(super) struct Seen<'a> {
    pub(super) secret: &'a [u8],
    pub(super) matched: &'a [u8],
    /// The line, or lines, that the match stands in.
    pub(super) line: &'a [u8],
    pub(super) rule: &'a str,
    pub(super) description: &'a str,
    /// Empty where there is none.
    pub(super) path: &'a str,
    pub(super) commit: &'a str,
    /// Whether the text counts by the character.
    pub(super) wide: bool,
}

/// A text that is looked at, with what is asked of it often.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) path: &'a str,
    pub(super) commit: &'a str,
    pub(super) wide: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], path: Option<&'a str>, commit: Option<&'a str>) -> Self {
        let (path, commit) = (path.unwrap_or_default(), commit.unwrap_or_default());
        Self { bytes, path, commit, wide: is_wide(bytes) }
    }

    pub(super) fn part(&self, span: &Range<usize>) -> &'a [u8] {
        self.bytes.get(span.clone()).unwrap_or_default()
    }

    /// The line, or lines, around a match.
    pub(super) fn line(&self, matched: &Range<usize>) -> &'a [u8] {
        let from = matched.start.saturating_sub(LINE_BYTES_MAX);
        let before = self.part(&(from..matched.start));
        let start = memchr::memrchr(b'\n', before).map_or(from, |at| from + at + 1);
        let far = matched.end.saturating_add(LINE_BYTES_MAX).min(self.bytes.len());
        let behind = self.part(&(matched.end..far));
        let end = memchr::memchr(b'\n', behind).map_or(far, |at| matched.end + at);
        self.part(&(start..end))
    }
}
