//! The words of a command line, as a shell reads them.

/// A character from the private use area, which has no meaning in a command.
const STAND_IN: char = '\u{f023}';

/// The words of a command; nothing is expanded and nothing is a comment: `#2` is a word. `None` if a quote is not closed
/// or there is no word.
pub fn split(command: &str) -> Option<Vec<String>> {
    // The library would treat text after `#` as a comment. Replace `#` by another character while it splits the words.
    let words = shlex::split(&command.replace('#', STAND_IN.encode_utf8(&mut [0; 4])))?;
    let words: Vec<String> = words.iter().map(|word| word.replace(STAND_IN, "#")).collect();
    Some(words).filter(|words| !words.is_empty())
}

/// A name quoted for a shell.
pub fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.:@-".contains(&byte);
    if name.bytes().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        assert_eq!(split("./r.sh  2").unwrap(), ["./r.sh", "2"]);
        assert_eq!(split(r#"a 'b c' "d \" e" f\ g '' $x"#).unwrap(), ["a", "b c", "d \" e", "f g", "", "$x"]);
        // Between double quotes a backslash is literal, except before $, `, ", \ and a line end.
        assert_eq!(split(r#""a\b" "\$x" 'a\b' a\b"#).unwrap(), [r"a\b", "$x", r"a\b", "ab"]);
        assert_eq!(split("./r.sh web #2 '#3' a#b \\#").unwrap(), ["./r.sh", "web", "#2", "#3", "a#b", "#"]);
        for open in ["", "  ", "'a", "\"a", "a\\", "a #'"] {
            assert!(split(open).is_none(), "{open}");
        }
    }
}
