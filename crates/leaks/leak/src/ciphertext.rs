use std::ops::Range;

use crate::block_context::json_object::opened;
use crate::block_context::lines::{FAR_BYTES_MAX, line_before};

/// The first words of the names of groups of ciphertext, in lower case: `encryptedData` of a SealedSecret.
const GROUPS: [&[u8]; 3] = [b"encrypted", b"sealed", b"ciphertext"];

/// The most lines above a value that are looked at.
const LINES_MAX: usize = 256;

/// Whether a value belongs to a group of encrypted ones, in YAML or JSON. Then its name is that of what was encrypted.
///
/// Looks only at nearby text, so a part of a text gives the same results as the whole.
pub(crate) fn is_below_ciphertext(text: &[u8], span: &Range<usize>) -> bool {
    in_object(text, span) || in_block(text, span)
}

/// In JSON: the name before the object around the value.
fn in_object(text: &[u8], span: &Range<usize>) -> bool {
    let Some(quote) = span.start.checked_sub(1).filter(|at| text.get(*at) == Some(&b'"')) else {
        return false;
    };
    let from = quote.saturating_sub(FAR_BYTES_MAX);
    let Some(open) = opened(text, from, quote, None) else { return false };
    let before = text.get(from..open).unwrap_or_default().trim_ascii_end();
    let name =
        before.strip_suffix(b":").map(<[u8]>::trim_ascii_end).and_then(|name| name.strip_suffix(b"\""));
    let name = name.and_then(|name| Some(name.get(memchr::memrchr(b'"', name)? + 1..).unwrap_or_default()));
    name.is_some_and(is_group)
}

/// In YAML: the names above, each less indented than the one below it.
fn in_block(text: &[u8], span: &Range<usize>) -> bool {
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
        if name.is_some_and(is_group) {
            return true;
        }
    }
    false
}

fn depth(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

fn is_group(name: &[u8]) -> bool {
    let begins = |word: &&[u8]| {
        let behind = name.get(word.len());
        let ends = behind.is_none_or(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'));
        name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)) && ends
    };
    GROUPS.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "kD93hfQ0plm4";

    fn is_below(text: &str) -> bool {
        let start = text.find(VALUE).unwrap();
        is_below_ciphertext(text.as_bytes(), &(start..start + VALUE.len()))
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
            assert!(is_below(&text), "{text}");
        }
        for text in [
            format!("spec:\n  encryptedData:\n    a: x\n  password: {VALUE}\n"),
            format!("encryptedData:\n  a: x\npassword: {VALUE}\n"),
            format!("encryptedData: x\n  password: {VALUE}\n"),
            format!("unencrypted:\n  password: {VALUE}\n"),
            format!("a:\n  encryptedData:\n    x: y\n  plain:\n    password: {VALUE}\n"),
            format!("{{\"encryptedData\": {{\"a\": \"x\"}}, \"token\": \"{VALUE}\"}}\n"),
            format!("password: {VALUE}\n"),
        ] {
            assert!(!is_below(&text), "{text}");
        }
    }
}
