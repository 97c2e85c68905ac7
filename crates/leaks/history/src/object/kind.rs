/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A tree, an author, parents and a message.
    Commit,
    /// The entries of one folder.
    Tree,
    /// The content of a file.
    Blob,
    /// An annotated tag: a name for another object, with a message.
    Tag,
}

impl ObjectKind {
    /// The kind by its name in the header of a loose object.
    pub(crate) fn named(name: &[u8]) -> Option<ObjectKind> {
        match name {
            b"commit" => Some(ObjectKind::Commit),
            b"tree" => Some(ObjectKind::Tree),
            b"blob" => Some(ObjectKind::Blob),
            b"tag" => Some(ObjectKind::Tag),
            _ => None,
        }
    }
}
