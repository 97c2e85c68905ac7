/// A name as one shell word, with quotes where a shell needs them.
pub fn shell_word(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let plain = |letter: char| letter.is_alphanumeric() || "-_.,@:/+=%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_stands_in_quotes() {
        for (text, wanted) in [
            ("/srv/a-b.js", "/srv/a-b.js"),
            ("a b", "'a b'"),
            ("a'b", "'a'\\''b'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), wanted);
        }
    }
}
