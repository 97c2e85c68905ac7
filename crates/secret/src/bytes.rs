use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A value that must not be printed; its memory is overwritten when it is dropped.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the value. Every call is a place where it could leak: keep the borrow short.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Makes a second copy of the value, on purpose.
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

/// Equal in constant time for equal lengths; the length is not hidden.
impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}
