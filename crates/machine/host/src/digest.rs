use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use keyroll_secret::SecretBytes;

/// SHA-256 of a file's content, which distinguishes our edit from another party's.
///
/// It is not keyed. Where the file is one short value, the digest must be protected like the fingerprint key: the value
/// can be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(content: &SecretBytes) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, content.expose()).as_ref());
        Self(out)
    }

    /// All 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The first 12 hex digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
