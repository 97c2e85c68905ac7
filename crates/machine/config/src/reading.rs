//! What a text is read for.

/// What a text is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It counts from now on.
    Current,
    /// It may have been accepted before, perhaps by another version: what is refused only since then is no mistake, so that a
    /// rotation that began with it can end.
    Former,
}
