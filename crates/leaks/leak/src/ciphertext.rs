use std::ops::Range;

use crate::block_context::json_object::opened;
use crate::block_context::lines::{FAR_BYTES_MAX, line_before};

/// The names of groups of ciphertext, in lower case: `encryptedData` of a SealedSecret. Other names that begin so are of
/// plain settings: of an encrypted volume, of the controller of sealed secrets.
const GROUPS: [&[u8]; 7] = [
    b"encrypteddata",
    b"encrypted_data",
    b"encrypted-data",
    b"ciphertext",
    b"ciphertexts",
    b"encrypted",
    b"sealed",
];

/// The first so many of them say it of each value; below the others are plain settings too.
const SURE_GROUPS: usize = 5;

/// The shortest text that may be ciphertext below one of those, bytes.
const ENCODED_BYTES_MIN: usize = 40;

/// The shortest ciphertext, bytes: a password of eight after AES-GCM, with its nonce of 12 and its tag of 16. A key in
/// plain text has up to 32.
const SEALED_BYTES_MIN: usize = 36;

/// The most lines above a value that are looked at.
const LINES_MAX: usize = 256;

/// Whether a value belongs to a group of encrypted ones, in YAML or JSON, and looks like one itself: somebody may keep a
/// password beside them. Then its name is that of what was encrypted. A value with the mark of a cipher needs no group.
///
/// Looks only at nearby text, so a part of a text gives the same results as the whole.
pub(crate) fn is_below_ciphertext(text: &[u8], span: &Range<usize>) -> bool {
    let value = text.get(span.clone()).unwrap_or_default();
    let groups = match may_be_ciphertext(value) {
        true => GROUPS.len(),
        // Most values are shorter.
        false if value.len() >= ENCODED_BYTES_MIN && is_encoded(value) => SURE_GROUPS,
        false => return false,
    };
    let groups = GROUPS.get(..groups).unwrap_or_default();
    in_object(text, span, groups) || in_block(text, span, groups)
}

/// Whether a value is text in hex, or may be one in base64, also of the kind for addresses.
fn is_encoded(value: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    value.iter().all(u8::is_ascii_hexdigit) || value.iter().all(digit) && is_mixed(value)
}

/// Whether a value is the text of enough bytes in hex, or in base64 with a sign that no identifier has: many tokens are
/// long words.
fn may_be_ciphertext(value: &[u8]) -> bool {
    if value.iter().all(u8::is_ascii_hexdigit) {
        return value.len() >= 2 * SEALED_BYTES_MIN && value.len().is_multiple_of(2);
    }
    let bare = value.strip_suffix(b"=").map_or(value, |rest| rest.strip_suffix(b"=").unwrap_or(rest));
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    value.len().is_multiple_of(4)
        && bare.len() * 3 / 4 >= SEALED_BYTES_MIN
        && bare.iter().all(digit)
        && is_mixed(bare)
        && (bare.len() < value.len() || bare.iter().any(|byte| !byte.is_ascii_alphanumeric()))
}

/// Whether a text has digits, capitals and small letters.
fn is_mixed(text: &[u8]) -> bool {
    let has = |kind: fn(&u8) -> bool| text.iter().any(kind);
    has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

/// In JSON: the name before the object around the value.
fn in_object(text: &[u8], span: &Range<usize>, groups: &[&[u8]]) -> bool {
    let Some(quote) = span.start.checked_sub(1).filter(|at| text.get(*at) == Some(&b'"')) else {
        return false;
    };
    let from = quote.saturating_sub(FAR_BYTES_MAX);
    let Some(open) = opened(text, from, quote, None) else { return false };
    let before = text.get(from..open).unwrap_or_default().trim_ascii_end();
    let name =
        before.strip_suffix(b":").map(<[u8]>::trim_ascii_end).and_then(|name| name.strip_suffix(b"\""));
    let name = name.and_then(|name| Some(name.get(memchr::memrchr(b'"', name)? + 1..).unwrap_or_default()));
    name.is_some_and(|name| is_group(name, groups))
}

/// In YAML: the names above, each less indented than the one below it.
fn in_block(text: &[u8], span: &Range<usize>, groups: &[&[u8]]) -> bool {
    let from = span.start.saturating_sub(FAR_BYTES_MAX);
    let before = text.get(..span.start).unwrap_or_default();
    let mut start = memchr::memrchr(b'\n', before).map_or(0, |last| last + 1);
    let mut own = depth(text.get(start..span.start).unwrap_or_default());
    for _ in 0..LINES_MAX {
        let Some(line) = line_before(text, start).filter(|line| own > 0 && line.start >= from) else { break };
        start = line.start;
        let raw = text.get(line).unwrap_or_default();
        let depth = depth(raw);
        if raw.trim_ascii().is_empty() || depth >= own {
            continue;
        }
        own = depth;
        let name = raw.trim_ascii().strip_suffix(b":").map(|name| name.trim_ascii_start());
        if name.is_some_and(|name| is_group(name, groups)) {
            return true;
        }
    }
    false
}

fn depth(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

fn is_group(name: &[u8], groups: &[&[u8]]) -> bool {
    groups.iter().any(|group| name.eq_ignore_ascii_case(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 36 bytes in base64.
    const VALUE: &str = "AgBx+kD93hfQ0plm4XyT71bQe8Rv5tYb2Nw9XsJ3/Lq7Qw8z";

    fn is_below(text: &str, value: &str) -> bool {
        let start = text.find(value).unwrap();
        is_below_ciphertext(text.as_bytes(), &(start..start + value.len()))
    }

    #[test]
    fn the_group_says_that_a_value_is_encrypted() {
        for text in [
            format!("spec:\n  encryptedData:\n    password: {VALUE}\n"),
            format!("spec:\n  encryptedData:\n    a: AgBx\n\n    apiKey: \"{VALUE}\"\n"),
            format!("db:\n  encrypted:\n    prod:\n      password: {VALUE}\n"),
            format!("{{\"spec\": {{\"encryptedData\": {{\"a\": \"x\", \"token\": \"{VALUE}\"}}}}}}\n"),
            format!("{{\n  \"encrypted_data\": {{\n    \"token\": \"{VALUE}\"\n  }}\n}}\n"),
        ] {
            assert!(is_below(&text, VALUE), "{text}");
        }
        for text in [
            format!("spec:\n  encryptedData:\n    a: x\n  password: {VALUE}\n"),
            format!("encryptedData:\n  a: x\npassword: {VALUE}\n"),
            format!("encryptedData: x\n  password: {VALUE}\n"),
            format!("unencrypted:\n  password: {VALUE}\n"),
            format!("a:\n  encryptedData:\n    x: y\n  plain:\n    password: {VALUE}\n"),
            format!("{{\"encryptedData\": {{\"a\": \"x\"}}, \"token\": \"{VALUE}\"}}\n"),
            format!("password: {VALUE}\n"),
            format!("encrypted_backup:\n  host: h\n  password: {VALUE}\n"),
            format!("encryptedConnection:\n  database:\n    password: {VALUE}\n"),
            format!("sealed_secrets_controller:\n  git:\n    token: {VALUE}\n"),
            format!("sealed-box:\n  api_key: {VALUE}\n"),
            format!("{{\"encryptedVolume\": {{\"password\": \"{VALUE}\"}}}}\n"),
        ] {
            assert!(!is_below(&text, VALUE), "{text}");
        }
    }

    #[test]
    fn a_plain_text_in_the_group_is_not_encrypted() {
        let hex = "5f1a9bcde23f4456".repeat(5);
        let padded = format!("{}Xy==", "kD93hfQ0plm4".repeat(5));
        for value in [VALUE, hex.as_str(), padded.as_str()] {
            assert!(is_below(&format!("encrypted:\n  password: {value}\n"), value), "{value}");
            assert!(is_below(&format!("{{\"sealed\": {{\"password\": \"{value}\"}}}}\n"), value), "{value}");
        }
        // A chosen password, a phrase, keys of 16, 32 and 32 bytes, a token of 60 letters and digits.
        let texts = [
            "kD93hfQ0plm4Xy".to_owned(),
            "correct-horse-battery-staple-of-the-whole-team-2024".to_owned(),
            "5f1a9bcde23f4456".repeat(2),
            "5f1a9bcde23f4456".repeat(4),
            format!("{}+A=", "kD93hfQ0plm4Xy7".repeat(3).split_at(41).0),
            "kD93hfQ0plm4".repeat(5),
        ];
        for (at, value) in texts.into_iter().enumerate() {
            // Below the last group nobody keeps keys in plain text.
            let groups = ["encrypted", "sealed", "encryptedData"];
            for group in groups.into_iter().take(if at < 3 { 3 } else { 2 }) {
                let yaml = format!("{group}:\n  enabled: true\n  password: {value}\n");
                assert!(!is_below(&yaml, &value), "{yaml}");
                let json = format!("{{\"{group}\": {{\"password\": \"{value}\"}}}}\n");
                assert!(!is_below(&json, &value), "{json}");
            }
        }
    }
}
