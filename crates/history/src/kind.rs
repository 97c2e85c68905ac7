//! What an object is.

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A tree, its authors and a message.
    Commit,
    /// The names in one folder.
    Tree,
    /// The bytes of a file.
    Blob,
    /// A name for another object, with a message.
    Tag,
}

impl Kind {
    /// The kind with this name in the head of a loose object.
    pub(crate) fn named(name: &[u8]) -> Option<Kind> {
        match name {
            b"commit" => Some(Kind::Commit),
            b"tree" => Some(Kind::Tree),
            b"blob" => Some(Kind::Blob),
            b"tag" => Some(Kind::Tag),
            _ => None,
        }
    }
}
