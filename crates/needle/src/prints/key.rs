use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

/// The length of a set's key in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// The length of what proves a value, in bytes: another text has the same one with a chance of 2⁻¹²⁸.
pub(crate) const MAC_BYTES: usize = 16;
/// The bits of a window's tag: all that is said of a value beside its length and what only the whole value can be tried on.
pub(crate) const TAG_BITS: u32 = 24;

/// The beginning of an HMAC-SHA-256.
pub(crate) type Mac = [u8; MAC_BYTES];

/// What makes the prints of one set unlike those of every other: drawn anew for each, and kept in it.
pub(crate) struct PrintKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    window: u64,
    value: hmac::Key,
    file: hmac::Key,
}

impl PrintKey {
    /// A new one; `None` = the system has no random numbers.
    pub(crate) fn fresh() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(bytes.as_mut()).ok()?;
        Some(Self::new(&bytes))
    }

    /// The one with these bytes.
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
            // Odd, so that no bit of a window is lost in the product.
            window: window | 1,
            value: key("keyroll-prints 1 value"),
            file: key("keyroll-prints 1 file"),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Spreads a window over 64 bits, of which the upper ones are the good ones (multiply-shift, Dietzfelbinger 1997).
    #[inline]
    pub(crate) fn spread(&self, window: u64) -> u64 {
        window.wrapping_mul(self.window)
    }

    /// What proves that these bytes are the value.
    pub(crate) fn value(&self, bytes: &[u8]) -> Mac {
        beginning(&hmac::sign(&self.value, bytes))
    }

    /// What shows that a file is whole.
    pub(crate) fn file(&self, bytes: &[u8]) -> Mac {
        beginning(&hmac::sign(&self.file, bytes))
    }
}

fn beginning(mac: &hmac::Tag) -> Mac {
    mac.as_ref().first_chunk().copied().unwrap_or_default()
}
