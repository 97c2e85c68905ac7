//! Object ids: the hashes by which git names objects.

use std::fmt;

/// The longest id, bytes: SHA-256.
const ID_BYTES_MAX: usize = 32;

/// The hash of a repository's object ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFormat {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl HashFormat {
    /// The length of an id, bytes.
    pub fn id_bytes(self) -> usize {
        match self {
            HashFormat::Sha1 => 20,
            HashFormat::Sha256 => 32,
        }
    }
}

/// The id of an object. Nothing here checks that it is the hash of the object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    bytes: [u8; ID_BYTES_MAX],
    length: u8,
}

impl ObjectId {
    /// An id from its 20 or 32 bytes.
    pub fn from_bytes(given: &[u8]) -> Option<ObjectId> {
        let length = match given.len() {
            20 => 20,
            32 => 32,
            _ => return None,
        };
        let mut bytes = [0; ID_BYTES_MAX];
        bytes.get_mut(..given.len())?.copy_from_slice(given);
        Some(ObjectId { bytes, length })
    }

    /// An id from its 40 or 64 hexadecimal digits.
    pub fn from_hex(given: &[u8]) -> Option<ObjectId> {
        let mut bytes = [0; ID_BYTES_MAX];
        if given.len() != 40 && given.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(given.chunks_exact(2)) {
            for digit in pair {
                *byte = (*byte << 4) | nibble(*digit)?;
            }
        }
        ObjectId::from_bytes(bytes.get(..given.len() / 2)?)
    }

    /// Its 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }

    /// Whether it is the null id, which stands for no object.
    pub(crate) fn is_null(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_was_read() {
        for digits in ["0123456789abcdef0123456789abcdef01234567", &"f0".repeat(32)] {
            assert_eq!(ObjectId::from_hex(digits.as_bytes()).unwrap().to_string(), *digits);
        }
        assert_eq!(ObjectId::from_hex(b"0123"), None);
        assert_eq!(ObjectId::from_hex("g".repeat(40).as_bytes()), None);
    }
}
