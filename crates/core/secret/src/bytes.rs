use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::locked_memory::LockedBytes;

/// A value that must not be printed. Its memory is overwritten when it is dropped; until then it is locked and left out of
/// core dumps, as far as the system permits that ([`LockedMemory`](crate::LockedMemory)).
pub struct SecretBytes(Memory);

enum Memory {
    Locked(LockedBytes),
    Heap(Zeroizing<Vec<u8>>),
}

impl SecretBytes {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        // If the value is moved to locked memory, the heap's copy is wiped.
        let bytes = Zeroizing::new(bytes);
        Self(LockedBytes::copy_of(&bytes).map_or_else(|| Memory::Heap(bytes), Memory::Locked))
    }

    /// Reads the value. Every call is a possible leak: keep the borrow short.
    pub fn expose(&self) -> &[u8] {
        match &self.0 {
            Memory::Locked(bytes) => bytes.bytes(),
            Memory::Heap(bytes) => bytes,
        }
    }

    /// Makes a second copy of the value, on purpose.
    pub fn duplicate(&self) -> Self {
        let locked = LockedBytes::copy_of(self.expose()).map(Memory::Locked);
        Self(locked.unwrap_or_else(|| Memory::Heap(Zeroizing::new(self.expose().to_vec()))))
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
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
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for SecretBytes {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a type has a trait: where the bound holds, an inherent constant hides the trait's constant.
    macro_rules! implements {
        ($type:ty: $bound:path) => {{
            #[allow(dead_code)]
            trait Absent {
                const HAS: bool = false;
            }
            impl<T: ?Sized> Absent for T {}
            struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
            #[allow(dead_code)]
            impl<T: ?Sized + $bound> Probe<T> {
                const HAS: bool = true;
            }
            Probe::<$type>::HAS
        }};
    }

    #[test]
    fn a_value_cannot_be_printed_or_copied() {
        assert!(implements!(String: std::fmt::Debug), "the probe sees a trait that is there");
        assert!(!implements!(SecretBytes: std::fmt::Debug));
        assert!(!implements!(SecretBytes: std::fmt::Display));
        assert!(!implements!(SecretBytes: Clone));
        assert!(!implements!(SecretBytes: std::ops::Deref));
        assert!(!implements!(SecretBytes: AsRef<[u8]>));
        assert!(!implements!(crate::Fields: std::fmt::Debug));
        assert!(!implements!(crate::Credential: std::fmt::Debug));
        assert!(!implements!(crate::SealingKey: std::fmt::Debug));
        assert!(!implements!(crate::SealingKey: Clone));
    }

    #[test]
    fn equality_is_by_all_bytes() {
        let value = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
        assert!(value(b"abc") == value(b"abc"));
        assert!(value(b"abc") != value(b"abd"));
        assert!(value(b"abc") != value(b"ab"));
        assert!(value(b"abc").duplicate() == value(b"abc"));
        assert!(value(b"").is_empty());
        assert_eq!(value(b"abc").len(), 3);
    }
}
