//! A position in a file.

/// From a line and column up to, and without, another. Both are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: (usize, usize),
    pub end: (usize, usize),
}

impl Span {
    /// Whole lines, for detectors without columns.
    pub fn lines(first: usize, last: usize) -> Self {
        Self { start: (first, 1), end: (last, usize::MAX) }
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A finding of a detector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DetectorFinding {
    pub path: String,
    pub span: Span,
    /// The detector's own name of the rule.
    pub rule: String,
}
