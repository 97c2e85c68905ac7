//! Where something stands in a file.

/// From a line and column up to, and without, another. Both are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: (usize, usize),
    pub end: (usize, usize),
}

impl Span {
    /// Whole lines, for who tells no columns.
    pub fn lines(first: usize, last: usize) -> Self {
        Self { start: (first, 1), end: (last, usize::MAX) }
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// What a detector says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub path: String,
    pub span: Span,
    /// The detector's own name for what it is.
    pub rule: String,
}
