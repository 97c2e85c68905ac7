//! Texts of a limited length.

/// What a cut text ends with.
pub(crate) const MARK: &str = "…";

/// A text of at most so many bytes; a cut one says so. A control character that would be six bytes of JSON is a space.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    let plain = |one: char| if one.is_control() && one != '\n' { ' ' } else { one };
    if text.len() <= bytes_max {
        return text.chars().map(plain).collect();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(MARK.len()));
    let kept: String = text.get(..end).unwrap_or_default().chars().map(plain).collect();
    format!("{kept}{MARK}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters_and_says_so() {
        assert_eq!(cut("aüb", 4), "aüb");
        assert_eq!(cut("aübcde", 6), "aü…");
        assert_eq!(cut("aüüüü", 5), "a…");
        for most in 3..20 {
            let short = cut(&"ü".repeat(30), most);
            assert!(short.len() <= most && short.ends_with(MARK), "{most}: {short}");
        }
    }
    #[test]
    fn a_control_character_is_a_space_and_a_line_stays_one() {
        assert_eq!(cut("a\u{1}b\nc\u{85}d\t", 20), "a b\nc d ");
        assert_eq!(cut("\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}", 5), "  …");
    }
}
