use aws_lc_rs::rand;

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A random text of letters and digits; a new one on each call, so that no test's value is written anywhere.
///
/// # Panics
/// If the system has no randomness.
pub fn alphanumeric(length: usize) -> String {
    drawn(LETTERS, length)
}

/// A random name of small letters that fits a role, a database or a file, such as `t_kqzxwvua`.
///
/// # Panics
/// If the system has no randomness.
pub fn tag() -> String {
    format!("t_{}", drawn(b"abcdefghijklmnopqrstuvwxyz", 8))
}

/// A random text of digits and the letters a to f, which stand in every alphabet of a key.
pub(crate) fn hexadecimal(length: usize) -> String {
    drawn(b"0123456789abcdef", length)
}

#[allow(clippy::panic, reason = "a test without randomness cannot go on")]
fn drawn(from: &[u8], length: usize) -> String {
    let mut seed = vec![0; length];
    if rand::fill(&mut seed).is_err() {
        panic!("the system gives no randomness");
    }
    // The slight bias of the remainder is of no matter to a test.
    seed.iter()
        .filter_map(|byte| from.get(usize::from(*byte) % from.len()))
        .map(|byte| char::from(*byte))
        .collect()
}
