use crate::Encoding;

/// The caller's number for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeedleId(pub u32);

/// One occurrence of one encoding of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// The value.
    pub id: NeedleId,
    /// The encoding of the value.
    pub encoding: Encoding,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset after its last byte. For base64 and base32, of the digits that the value alone determines.
    pub end: usize,
}
