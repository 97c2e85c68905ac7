use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

/// The length of a set's key, bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// The length of a value's keyed hash, bytes: another text has the same one with probability 2⁻¹²⁸.
pub(crate) const MAC_BYTES: usize = 16;
/// The bits of a window's tag: all that the file reveals about a value beside its length and a test of the whole
/// value.
pub(crate) const TAG_BITS: u32 = 24;

/// A truncated HMAC-SHA-256.
pub(crate) type Mac = [u8; MAC_BYTES];

/// The key of one set, random and stored in it: fingerprints of different sets have nothing in common.
pub(crate) struct FingerprintFileKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    window: u64,
    value: hmac::Key,
    file: hmac::Key,
}

impl FingerprintFileKey {
    /// A new key; `None` if the system has no random numbers.
    pub(crate) fn fresh() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(bytes.as_mut()).ok()?;
        Some(Self::new(&bytes))
    }

    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, derived(purpose).as_ref());
        let window = derived("keyroll-prints 1 window")
            .as_ref()
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first));
        Self {
            bytes: Zeroizing::new(*bytes),
            // Odd, so that the product keeps every bit of a window.
            window: window | 1,
            value: key("keyroll-prints 1 value"),
            file: key("keyroll-prints 1 file"),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Spreads a window over 64 bits; the upper ones are well mixed (multiply-shift, Dietzfelbinger 1997).
    #[inline]
    pub(crate) fn spread(&self, window: u64) -> u64 {
        window.wrapping_mul(self.window)
    }

    /// The keyed hash of a value.
    pub(crate) fn value(&self, bytes: &[u8]) -> Mac {
        beginning(&hmac::sign(&self.value, bytes))
    }

    /// The keyed hash of a file.
    pub(crate) fn file(&self, bytes: &[u8]) -> Mac {
        beginning(&hmac::sign(&self.file, bytes))
    }
}

fn beginning(mac: &hmac::Tag) -> Mac {
    mac.as_ref().first_chunk().copied().unwrap_or_default()
}
