use aws_lc_rs::digest::{SHA256, digest};

/// One link: the SHA-256 of everything up to and including an entry.
pub(crate) type Link = [u8; 32];

/// The link before the first entry. It differs in every journal: an exchanged journal is noticed even when it is empty.
pub(crate) fn genesis(journal: &[u8]) -> Link {
    finish(&[b"keyroll journal v1", journal])
}

/// The link of an entry: made from the link before it, its rotation, its number and its bytes.
pub(crate) fn link(before: &Link, rotation: &str, seq: u64, bytes: &[u8]) -> Link {
    // The length separates the rotation's name from the next field.
    let length = (rotation.len() as u64).to_le_bytes();
    finish(&[before, &length, rotation.as_bytes(), &seq.to_le_bytes(), bytes])
}

fn finish(parts: &[&[u8]]) -> Link {
    let digest = digest(&SHA256, &parts.concat());
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// A link as a witness stores it.
pub(crate) fn to_hex(link: &Link) -> String {
    link.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A link from its 64 hex digits.
pub(crate) fn from_hex(text: &str) -> Option<Link> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(out)
}
