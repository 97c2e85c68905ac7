use aws_lc_rs::rand;

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The shortest text that has at least one letter and one digit, whatever is drawn.
const MIXED_MIN: usize = 6;

/// A random text of letters and digits, of both; a new one on each call, so that no test's value is written anywhere. One
/// of 32 without a digit would come once in 280 draws, and under a name that ends in `KEY` it is taken for words.
///
/// # Panics
/// If the system has no randomness.
pub fn alphanumeric(length: usize) -> String {
    loop {
        let text = drawn(LETTERS, length);
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if length < MIXED_MIN || (1..length).contains(&digits) {
            return text;
        }
    }
}

/// A random password as Vault makes them where no policy says otherwise: 20 small and capital letters, digits and `-`, at
/// least one of each. Source: <https://github.com/hashicorp/vault/blob/main/helper/random/string_generator.go>,
/// `DefaultStringGenerator`.
pub(crate) fn vault_password() -> String {
    let has = |text: &str, is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    loop {
        let text = drawn(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", 20);
        let letters = has(&text, u8::is_ascii_lowercase) && has(&text, u8::is_ascii_uppercase);
        if letters && has(&text, u8::is_ascii_digit) && has(&text, |byte| *byte == b'-') {
            return text;
        }
    }
}

/// A random name of small letters that fits a role, a database or a file, such as `t_kqzxwvua`.
///
/// # Panics
/// If the system has no randomness.
pub fn tag() -> String {
    format!("t_{}", drawn(b"abcdefghijklmnopqrstuvwxyz", 8))
}

/// A random token of GitHub's form, with the checksum that theirs have; nobody was given it.
///
/// # Panics
/// If the system has no randomness.
pub fn github_token() -> String {
    let body = alphanumeric(30);
    // CRC-32 of the thirty, in six digits of base 62.
    let mut crc = !body.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    });
    let mut end = Vec::new();
    for _ in 0..6 {
        let digit = u8::try_from(crc % 62).unwrap_or(0);
        end.push(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        });
        crc /= 62;
    }
    end.reverse();
    format!("ghp_{body}{}", String::from_utf8_lossy(&end))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_digit() {
        for _ in 0..1000 {
            let text = alphanumeric(12);
            assert!(text.len() == 12 && text.bytes().any(|byte| byte.is_ascii_digit()), "{text}");
        }
    }
}
