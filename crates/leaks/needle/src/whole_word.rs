//! Whether a value stands as a whole word in a text.
//!
//! In doubt it does: then it is replaced. It is part of a longer word only beside ASCII letters of its own case: one or
//! more behind it (`optimized`), or two or more before it that begin where words begin (`reoptimize`). A single letter
//! before it may belong to an escape, a terminal code or an option, a digit or an underscore to anything.

use std::ops::Range;

/// How much of the text before a value is read, bytes. More letters in a row are no word.
pub(crate) const BEFORE_BYTES: usize = 64;

/// The fewest letters before a value that make it the end of a longer word.
const LETTERS_BEFORE_MIN: usize = 2;

/// Whether a value in a text stands as a whole word. `before` is the end of the text before this one, and `ends` whether
/// nothing follows. `None` if that depends on what follows.
pub(crate) fn stands_alone(before: &[u8], text: &[u8], value: Range<usize>, ends: bool) -> Option<bool> {
    let word = text.get(value.clone()).unwrap_or_default();
    let near = text.get(..value.start).unwrap_or_default().iter().rev().chain(before.iter().rev()).copied();
    if is_end_of_word(near, word) {
        return Some(false);
    }
    match text.get(value.end) {
        None if !ends => None,
        next => Some(!next.is_some_and(|next| goes_on(word, *next))),
    }
}

fn goes_on(word: &[u8], next: u8) -> bool {
    word.last().is_some_and(|last| {
        last.is_ascii_lowercase() && next.is_ascii_lowercase()
            || last.is_ascii_uppercase() && next.is_ascii_uppercase()
    })
}

/// Whether letters before a word belong to it. `near`: the bytes before it, the nearest first.
fn is_end_of_word(near: impl Iterator<Item = u8> + Clone, word: &[u8]) -> bool {
    let letters = near.clone().take(BEFORE_BYTES).take_while(u8::is_ascii_alphabetic).count();
    let sign = near.clone().nth(letters);
    let first = letters.checked_sub(1).and_then(|last| near.clone().nth(last));
    // The letter of `\n` is none of the word.
    let letters = match (sign, first) {
        (Some(b'\\'), Some(b'a' | b'b' | b'e' | b'f' | b'n' | b'r' | b't' | b'v')) => letters - 1,
        (sign, _) if sign.is_none_or(begins_a_word) => letters,
        _ => 0,
    };
    let small = word.first().is_some_and(u8::is_ascii_lowercase);
    let large = word.iter().take(2).all(u8::is_ascii_uppercase);
    // Small letters may have a capital first.
    let same_case = match small {
        true => near.take(letters.saturating_sub(1)).all(|letter| letter.is_ascii_lowercase()),
        false => large && near.take(letters).all(|letter| letter.is_ascii_uppercase()),
    };
    (LETTERS_BEFORE_MIN..BEFORE_BYTES).contains(&letters) && same_case
}

/// Whether a word may follow a byte. Not `-` (options), `%`, `=` and digits (escapes), `&` or bytes that are no ASCII.
fn begins_a_word(before: u8) -> bool {
    before.is_ascii_whitespace() || b"\"'`([{<>,.;:/*#".contains(&before)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the value between these texts.
    fn alone(before: &str, value: &str, behind: &str) -> Option<bool> {
        let text = [before, value, behind].concat();
        stands_alone(&[], text.as_bytes(), before.len()..before.len() + value.len(), true)
    }

    #[test]
    fn a_part_of_a_longer_word_does_not_stand_alone() {
        for (before, behind) in [
            ("", "d"),
            ("", "rs and more"),
            ("re", ""),
            ("Re", ""),
            ("not auto", "All"),
            ("\"pre", "\""),
            ("\\n", "d"),
            ("\\nre", ""),
            ("\x1b[31m", "d"),
        ] {
            assert_eq!(alone(before, "optimize", behind), Some(false), "{before:?}|{behind:?}");
        }
        for (before, value, behind) in [("RE", "OPTIMIZE", ""), ("", "OPTIMIZE", "D"), ("", "Optimize", "d")]
        {
            assert_eq!(alone(before, value, behind), Some(false), "{before}{value}{behind}");
        }
    }

    #[test]
    fn what_may_be_no_letter_of_its_word_separates_a_value() {
        for (before, behind) in [
            ("", ""),
            ("password=", "\n"),
            ("help-", ".md"),
            ("user:", "@host"),
            ("\"", "\"}"),
            ("\\n", "\\n"),
            ("\\u000a", "\\u000a"),
            ("\\u00ab", "\\u00bb"),
            ("\\udead", ""),
            ("\\xab", ""),
            ("\\x1b[0m", "\\x1b"),
            ("\\033", "\\033"),
            ("a%20", "%20b"),
            ("?next=/login%3Fpassword%253D", "%26"),
            ("user%ab", ""),
            ("password=3D", "=0A"),
            ("password=3d", "=0a"),
            ("password:^I", "$"),
            ("\x1b[31m", "\x1b[0m"),
            ("\x1b[38;2;255;255;255;48;2;255;255;255m", ""),
            ("\x1b[>4;2m", ""),
            ("\x1b[2 q", ""),
            ("\x1b#8", ""),
            ("\x1bP1$r", ""),
            ("\u{9b}31m", ""),
            ("\x1b[K", ""),
            ("\x1b(B", ""),
            ("^[[0m", "^[[0m"),
            ("mysql -p", " orders"),
            ("mysql -sNp", " orders"),
            ("rar a -hp", " x.rar"),
            ("\"cmd\":\"x\\t-p", "\""),
            ("%20-p", ""),
            ("[\"-p", "\"]"),
            ("hpasswordh", "Duser"),
            ("user_", "@h"),
            ("PASS_", ""),
            ("", "_all"),
            ("", "1"),
            ("2", ""),
            ("ª", "º"),
            ("é", "é"),
            ("“", "”"),
            ("密码是", "。"),
            ("пароль", "!"),
        ] {
            // The name of a field in CBOR runs into the length of its value.
            let expected = !before.starts_with("hpassword");
            assert_eq!(alone(before, "optimize", behind), Some(expected), "{before:?}|{behind:?}");
        }
        for (before, value, behind) in
            [("re", "Optimize", ""), ("RE", "optimize", "D"), ("re", "OPTIMIZE", "d")]
        {
            assert_eq!(alone(before, value, behind), Some(true), "{before}{value}{behind}");
        }
        let long = "e".repeat(BEFORE_BYTES);
        assert_eq!(alone(&long, "optimize", ""), Some(true));
    }

    #[test]
    fn what_follows_is_waited_for() {
        assert_eq!(stands_alone(&[], b"optimize", 0..8, false), None);
        assert_eq!(stands_alone(&[], b"optimize", 0..8, true), Some(true));
        assert_eq!(stands_alone(&[], b"optimize\xc3", 0..8, false), Some(true));
        assert_eq!(stands_alone(b"pre", b"optimize", 0..8, false), Some(false));
        assert_eq!(stands_alone(b"\x1b[3", b"1moptimize ", 2..10, false), Some(true));
        assert_eq!(stands_alone(b"-h", b"poptimize ", 1..9, false), Some(true));
    }
}
