//! Keys, fingerprints and digests in frames: 32 bytes as 64 hex digits; what is sealed has any length.

use keyroll_secret::{FingerprintKey, SecretBytes};

/// How many hex digits stand for a key, a fingerprint or a digest.
const DIGITS: usize = 64;

/// These bytes in hex digits.
pub fn digits_of(bytes: &[u8; 32]) -> String {
    hex_of(bytes)
}

/// Bytes of any length in hex digits.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of any number of hex digits; `None` if it is another text.
pub(crate) fn bytes_of_hex(digits: &str) -> Option<Vec<u8>> {
    let fits = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    fits.then(|| digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()).flatten()
}

/// Says what is digested; no command.
const MACHINE: &str = concat!("keyroll", " host v1");

/// The digest of an id of a machine under an installation's key; `kind` is `id` or `hardware`. The id cannot be read from it.
pub fn machine_digest(key: &[u8; 32], kind: &str, id: &str) -> String {
    let text = SecretBytes::from(format!("{MACHINE}\n{kind}\n{id}"));
    digits_of(FingerprintKey::new(key).fingerprint(&text).as_bytes())
}

/// The bytes of 64 hex digits; `None` if it is another text.
pub fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate().filter(|_| fits) {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    fits.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_hex_digits_are_32_bytes() {
        let digits = "0f".repeat(32);
        assert_eq!(bytes_of(&digits), Some([15; 32]));
        assert_eq!(digits_of(&[15; 32]), digits);
        for other in [String::new(), "0f".to_owned(), "0g".repeat(32), "0f".repeat(33), "é".repeat(32)] {
            assert_eq!(bytes_of(&other), None, "{other}");
        }
    }

    #[test]
    fn any_bytes_are_read_from_their_digits_and_from_nothing_else() {
        for bytes in [vec![], vec![0, 15, 255]] {
            assert_eq!(bytes_of_hex(&hex_of(&bytes)), Some(bytes));
        }
        for other in ["0", "0f1", "0g", "+1", " 1", "é"] {
            assert_eq!(bytes_of_hex(other), None, "{other}");
        }
    }
}
