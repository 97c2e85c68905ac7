use std::fmt;

use aws_lc_rs::hmac;

use zeroize::Zeroizing;

use crate::SecretBytes;

/// The key of the fingerprints. Without a key, the hash of a weak value could be guessed.
pub struct FingerprintKey {
    key: hmac::Key,
    bytes: Zeroizing<[u8; 32]>,
}

impl FingerprintKey {
    /// A key from 32 secret bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), bytes: Zeroizing::new(*bytes) }
    }

    /// The secret bytes: for another machine, which makes the same fingerprints with them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The fingerprint of a value under this key.
    pub fn fingerprint(&self, value: &SecretBytes) -> Fingerprint {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.key, value.expose()).as_ref());
        Fingerprint(out)
    }
}

/// HMAC-SHA-256 of a value; printable, comparable, shown by its first hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// All 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A fingerprint that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The first 12 hex digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
