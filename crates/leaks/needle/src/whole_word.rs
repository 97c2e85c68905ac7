//! Whether a value stands as a whole word in a text.
//!
//! In doubt it does: then it is replaced. So the bytes of an escape, of a terminal code or of an option before it are
//! no letters of its word.

use std::ops::Range;

/// How much of the text before a value is read, bytes: a terminal code with two colours of 24 bits has 37.
pub(crate) const BEFORE_BYTES: usize = 64;

/// The most underscores on each side of an emphasised word.
const EMPHASIS_BYTES_MAX: usize = 3;

/// The longest character, bytes.
const LETTER_BYTES_MAX: usize = 4;

/// What is beside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    /// The word begins or ends here.
    None,
    /// The word goes on.
    Word,
    /// So many underscores, and then no word.
    Underscores(usize),
    /// That depends on more text.
    Undecided,
}

/// Whether a value in a text stands as a whole word: not beside a Latin letter, a digit or an underscore, or as a whole
/// number if it is one. Other scripts write without spaces. `before` is the end of the text before this one, and `ends`
/// whether nothing follows. `None` if that depends on what follows.
pub(crate) fn stands_alone(before: &[u8], text: &[u8], value: Range<usize>, ends: bool) -> Option<bool> {
    let mut near = [0; BEFORE_BYTES];
    let there = text.get(..value.start).unwrap_or_default().iter().rev().chain(before.iter().rev());
    near.iter_mut().rev().zip(there).for_each(|(to, byte)| *to = *byte);
    let number = text.get(value.start).is_some_and(u8::is_ascii_digit);
    let behind = text.get(value.end..).unwrap_or_default();
    match (neighbour_before(&near, number), neighbour_behind(behind, number, ends)) {
        (Neighbour::Word, _) | (_, Neighbour::Word) => Some(false),
        (_, Neighbour::Undecided) | (Neighbour::Undecided, _) => None,
        (one, other) => Some(one == other),
    }
}

fn neighbour_before(near: &[u8], number: bool) -> Neighbour {
    let is_digit = near.last().is_some_and(u8::is_ascii_digit);
    let underscores = near.iter().rev().take_while(|byte| **byte == b'_').count();
    if number {
        return if is_digit && !ends_an_escape(near) { Neighbour::Word } else { Neighbour::None };
    }
    let rest = near.get(..near.len() - underscores).unwrap_or_default();
    match underscores {
        0 if ends_with_letter(rest) && !ends_an_escape(near) => Neighbour::Word,
        0 => Neighbour::None,
        1..=EMPHASIS_BYTES_MAX if !ends_with_letter(rest) => Neighbour::Underscores(underscores),
        _ => Neighbour::Word,
    }
}

fn neighbour_behind(behind: &[u8], number: bool, ends: bool) -> Neighbour {
    let underscores = behind.iter().take_while(|byte| **byte == b'_').count();
    if number {
        return match behind.first() {
            None if !ends => Neighbour::Undecided,
            Some(byte) if byte.is_ascii_digit() => Neighbour::Word,
            Some(_) | None => Neighbour::None,
        };
    }
    if underscores > EMPHASIS_BYTES_MAX {
        return Neighbour::Word;
    }
    let rest = behind.get(underscores..).unwrap_or_default();
    match begins_with_letter(rest, ends) {
        None => Neighbour::Undecided,
        Some(true) => Neighbour::Word,
        Some(false) if underscores > 0 => Neighbour::Underscores(underscores),
        Some(false) => Neighbour::None,
    }
}

/// `None` if the text is empty or ends within the character, and more may follow.
fn begins_with_letter(text: &[u8], ends: bool) -> Option<bool> {
    let near = text.get(..LETTER_BYTES_MAX).unwrap_or(text);
    let (whole, is_half) = match std::str::from_utf8(near) {
        Ok(whole) => (whole, near.is_empty()),
        Err(error) => {
            let whole = near.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(whole).unwrap_or_default(), whole.is_empty() && error.error_len().is_none())
        }
    };
    if is_half && !ends {
        return None;
    }
    Some(whole.chars().next().is_some_and(is_latin))
}

fn ends_with_letter(text: &[u8]) -> bool {
    // Bytes between the first and the last of a character are from 80 to BF.
    let Some(start) = text.iter().rposition(|byte| !(0x80..0xC0).contains(byte)) else { return false };
    let last = std::str::from_utf8(text.get(start..).unwrap_or_default());
    last.is_ok_and(|last| last.chars().next_back().is_some_and(is_latin))
}

/// Whether a character belongs to words in the Latin script: letters, digits, accents.
fn is_latin(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || letter.is_alphabetic() && matches!(letter, '\u{80}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
        || matches!(letter, '\u{300}'..='\u{36f}')
}

/// Whether the text before a value ends with an escape (`\n`, `\x20`, `\u0020`, `\040`, `%20`, `=3D`), a terminal code,
/// also as programs print it (`[31m`), or an option of one letter (`-p`), so that its last byte is no part of a word.
fn ends_an_escape(near: &[u8]) -> bool {
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match near {
        [.., b'\\', b'a' | b'b' | b'e' | b'f' | b'n' | b'r' | b't' | b'v' | b'0'] => true,
        [.., b'%', one, two] if hex(&[*one, *two]) => true,
        [.., b'=', one, two] if hex(&[*one, *two]) => ![*one, *two].iter().any(u8::is_ascii_lowercase),
        [.., b'\\', b'x', one, two] if hex(&[*one, *two]) => true,
        [.., b'\\', b'u', one, two, three, four] if hex(&[*one, *two, *three, *four]) => true,
        [.., b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7'] => true,
        [.., 0x1b, _] | [.., 0x1b, b'(' | b')', _] => true,
        [.., before, b'-', letter] if letter.is_ascii_alphabetic() && begins_an_option(*before) => true,
        [rest @ .., letter] if letter.is_ascii_alphabetic() => {
            let parameter = |byte: &u8| byte.is_ascii_digit() || b";:?".contains(byte);
            rest.iter().rfind(|byte| !parameter(byte)).is_none_or(|byte| *byte == b'[')
        }
        _ => false,
    }
}

/// Whether an option may follow a byte; zero stands for the start of the text.
fn begins_an_option(before: u8) -> bool {
    matches!(before, 0 | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'`' | b'(' | b'[' | b',' | b'=')
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
            ("auto", "All"),
            ("", "_all"),
            ("pre_", ""),
            ("", "1"),
            ("2", ""),
            ("é", ""),
            ("", "é"),
            ("", "\u{301}"),
            ("", "____"),
            ("_", " private"),
            ("__", "_"),
        ] {
            assert_eq!(alone(before, "optimize", behind), Some(false), "{before}|{behind}");
        }
        for (before, behind) in [("1", ""), ("", "0"), ("17", "9")] {
            assert_eq!(alone(before, "20240131", behind), Some(false), "{before}|{behind}");
        }
    }

    #[test]
    fn what_is_no_letter_of_its_word_separates_a_value() {
        for (before, behind) in [
            ("", ""),
            ("password=", "\n"),
            ("help-", ".md"),
            ("user:", "@host"),
            ("\"", "\"}"),
            ("\\n", "\\n"),
            ("\\u000a", "\\u000a"),
            ("\\x1b[0m", "\\x1b"),
            ("\\033", "\\033"),
            ("a%20", "%20b"),
            ("password=3D", "=0A"),
            ("\x1b[31m", "\x1b[0m"),
            ("\x1b[1;31m", ""),
            ("\x1b[38;2;255;255;255;48;2;255;255;255m", ""),
            ("\x1b[K", ""),
            ("\x1b(B", ""),
            ("^[[0m", "^[[0m"),
            ("mysql -p", " orders"),
            ("[\"-p", "\"]"),
            ("-p", ""),
            ("_", "_"),
            ("**__", "__**"),
            ("“", "”"),
            ("密码是", "。"),
            ("пароль", "!"),
        ] {
            assert_eq!(alone(before, "optimize", behind), Some(true), "{before:?}|{behind:?}");
        }
        for (before, behind) in [("v", "T10:00"), ("pin_", "_"), ("%20", "%20"), ("\x1b[31m", "\x1b[0m")] {
            assert_eq!(alone(before, "20240131", behind), Some(true), "{before:?}|{behind:?}");
        }
        // Of another encoding: no letter of this one.
        let text = b"\xe9optimize\xe9 ";
        assert_eq!(stands_alone(&[], text, 1..9, true), Some(true));
    }

    #[test]
    fn what_follows_is_waited_for() {
        for (behind, ends_as) in [("", true), ("_", false), ("___", false)] {
            let text = format!("optimize{behind}");
            assert_eq!(stands_alone(&[], text.as_bytes(), 0..8, false), None, "{behind}");
            assert_eq!(stands_alone(&[], text.as_bytes(), 0..8, true), Some(ends_as), "{behind}");
        }
        assert_eq!(stands_alone(&[], b"optimize\xc3", 0..8, false), None);
        assert_eq!(stands_alone(&[], b"optimize\xc3", 0..8, true), Some(true));
        assert_eq!(stands_alone(b"pre", b"optimize ", 0..8, false), Some(false));
        assert_eq!(stands_alone(b"\x1b[3", b"1moptimize ", 2..10, false), Some(true));
        assert_eq!(stands_alone(&[], b"20240131", 0..8, false), None);
    }
}
