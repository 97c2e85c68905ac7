use std::ops::Range;

use super::rule::RequiredRule;

/// A match of a rule.
pub(super) struct ImportedHit {
    pub(super) rule: usize,
    pub(super) matched: Range<usize>,
    pub(super) secret: Range<usize>,
}

impl ImportedHit {
    /// Whether it has a line: a match of the path alone has none.
    pub(super) fn line_known(&self) -> bool {
        !self.matched.is_empty()
    }
}

/// The line, from 0 on, and the column in bytes of each offset; offsets are in order.
pub(super) fn places(text: &[u8], starts: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let (mut line, mut begin, mut from) = (0, 0, 0);
    starts
        .map(|start| {
            for end in memchr::memchr_iter(b'\n', text.get(from..start).unwrap_or_default()) {
                line += 1;
                begin = from + end + 1;
            }
            from = from.max(start);
            (line, start - begin.min(start))
        })
        .collect()
}

/// Keeps the matches of a rule whose required matches are near.
pub(super) fn keep_complete(
    text: &[u8],
    hits: &mut Vec<ImportedHit>,
    needed: &[(&RequiredRule, Vec<ImportedHit>)],
) {
    // From 1 on; a match of the path alone is at 0, as in gitleaks.
    let starts = |hits: &[ImportedHit]| -> Vec<(usize, usize)> {
        let places = places(text, hits.iter().map(|hit| hit.matched.start));
        let known = hits.iter().map(|hit| usize::from(hit.line_known()));
        places.into_iter().zip(known).map(|((line, column), one)| (line + one, column + one)).collect()
    };
    let needed: Vec<_> = needed.iter().map(|(required, hits)| (*required, starts(hits))).collect();
    let mut own = starts(hits).into_iter();
    hits.retain(|_| {
        let Some((line, column)) = own.next() else { return false };
        needed.iter().all(|(required, places)| {
            let near = |most: Option<usize>, one: usize, other: usize| {
                most.is_none_or(|most| one.abs_diff(other) <= most)
            };
            places
                .iter()
                .any(|(there, at)| near(required.lines, line, *there) && near(required.columns, column, *at))
        })
    });
}
