/// A name as one shell word, with quotes where a shell needs them.
pub fn shell_word(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let plain = |letter: char| letter.is_alphanumeric() || "-_.,@:/+=%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The words of a command line, as an operator types it.
pub(crate) fn shell_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    words.into_iter().map(shell_word).collect::<Vec<_>>().join(" ")
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
