//! Percent-encoding (RFC 3986 §2.1).

/// Appends `bytes`, each written as itself if it is a letter, a digit, `-`, `.` or `_`, else as `%XX`.
///
/// Stricter than RFC 3986 requires anywhere in a URL, and therefore right in each part: `+` is a space for some query
/// parsers, and `~` at the start of an unquoted value in an env file is a home directory for a shell.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if unescaped(byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// The bytes that an encoded text stands for; `None` if a `%` is not followed by two hex digits.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (hex(*bytes.next()?)?, hex(*bytes.next()?)?);
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// Every byte that [`encode`] can write.
pub(crate) fn alphabet() -> Vec<u8> {
    (0..=u8::MAX).filter(|&byte| unescaped(byte) || byte == b'%').collect()
}

fn unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
