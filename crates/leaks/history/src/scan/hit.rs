use std::ops::Range;

/// A finding in an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hit {
    /// Its location, bytes from the start of the object.
    pub span: Range<usize>,
    /// What was found, as a number that the caller defines.
    pub tag: u64,
}
