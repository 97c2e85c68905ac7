use std::ops::Range;

use super::expression::is_wide;

/// How much of a line before and after a match is considered, bytes: minified code has very long lines.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// A match as allowlists and filters see it.
pub(super) struct MatchContext<'a> {
    pub(super) secret: &'a [u8],
    pub(super) matched: &'a [u8],
    /// The lines of the match.
    pub(super) line: &'a [u8],
    pub(super) rule: &'a str,
    pub(super) description: &'a str,
    /// Empty if there is none.
    pub(super) path: &'a str,
    pub(super) commit: &'a str,
    /// Whether the text counts in characters.
    pub(super) wide: bool,
}

/// A text with properties that are needed often.
pub(super) struct SourceText<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) path: &'a str,
    pub(super) commit: &'a str,
    pub(super) wide: bool,
}

impl<'a> SourceText<'a> {
    pub(super) fn new(bytes: &'a [u8], path: Option<&'a str>, commit: Option<&'a str>) -> Self {
        let (path, commit) = (path.unwrap_or_default(), commit.unwrap_or_default());
        Self { bytes, path, commit, wide: is_wide(bytes) }
    }

    pub(super) fn part(&self, span: &Range<usize>) -> &'a [u8] {
        self.bytes.get(span.clone()).unwrap_or_default()
    }

    /// The lines around a match.
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
