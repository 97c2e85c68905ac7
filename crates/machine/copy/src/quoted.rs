//! Double quotes with escapes, as JSON, YAML and TOML read them alike (RFC 8259 §7; YAML 1.2 §5.7; TOML 1.0,
//! "String").

use keyroll_secret::SecretBytes;

/// The text of a value. A NUL is refused: readers of C strings would not see what follows it.
pub(crate) fn text(value: &SecretBytes) -> Result<&str, &'static str> {
    match std::str::from_utf8(value.expose()) {
        Ok("") => Err("it is empty"),
        Ok(text) if text.contains('\0') => Err("it has a NUL"),
        Ok(text) => Ok(text),
        Err(_) => Err("it is not UTF-8"),
    }
}

/// Every text can be quoted. An alphabet of single bytes beyond ASCII is refused: only whole characters are text.
pub(crate) fn carries(alphabet: &[u8]) -> Result<(), &'static str> {
    match alphabet.iter().all(|byte| (1..=0x7f).contains(byte)) {
        true => Ok(()),
        false => Err("its alphabet has NUL, or bytes beyond ASCII"),
    }
}

/// A text in double quotes, with escapes that all three formats have.
pub(crate) fn double(text: &str) -> SecretBytes {
    // Reserved in full: a vector that grows leaves a copy of the value in freed memory.
    let mut out = Vec::with_capacity(text.len() * 6 + 2);
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if special(c) => {
                let number = u32::from(c);
                out.extend_from_slice(b"\\u");
                out.extend([12, 8, 4, 0].map(|shift| hex((number >> shift) & 15)));
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    SecretBytes::new(out)
}

/// Characters that no plain or single-quoted text can have: controls, and characters that some readers take for line
/// ends.
pub(crate) fn special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn hex(digit: u32) -> u8 {
    char::from_digit(digit, 16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(b'0')
}

/// Bytes as they are, between two quotes.
pub(crate) fn around(quote: u8, inner: &[u8]) -> SecretBytes {
    let mut out = Vec::with_capacity(inner.len() + 2);
    out.push(quote);
    out.extend_from_slice(inner);
    out.push(quote);
    SecretBytes::new(out)
}
