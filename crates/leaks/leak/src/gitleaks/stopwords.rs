use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// Words that are searched case-insensitively.
#[derive(Default)]
pub(super) struct Stopwords {
    ascii: Vec<String>,
    /// With non-ASCII letters, in lower case.
    other: Vec<String>,
    searched: OnceLock<Option<AhoCorasick>>,
}

impl Stopwords {
    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Self {
        let words = words.into_iter().filter(|word| !word.is_empty());
        let (ascii, other): (Vec<_>, Vec<_>) = words.partition(|word| word.is_ascii());
        let other = other.into_iter().map(|word| word.to_lowercase()).collect();
        Self { ascii, other, searched: OnceLock::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ascii.is_empty() && self.other.is_empty()
    }

    /// Whether a text contains one of them.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            return false;
        }
        let search = || AhoCorasick::builder().ascii_case_insensitive(true).build(&self.ascii).ok();
        let ascii = !self.ascii.is_empty()
            && match self.searched.get_or_init(search) {
                Some(searched) => searched.is_match(text),
                None => self.ascii.iter().any(|word| stands_in(text, word)),
            };
        ascii || self.other.iter().any(|word| stands_in(text, word))
    }
}

/// Whether a text contains a lower-case word in any case. Does not copy the text.
pub(super) fn stands_in(text: &[u8], word: &str) -> bool {
    text.utf8_chunks().any(|chunk| {
        let valid = chunk.valid();
        valid.char_indices().any(|(at, _)| {
            let mut here = valid.get(at..).unwrap_or_default().chars().flat_map(char::to_lowercase);
            word.chars().flat_map(char::to_lowercase).all(|letter| here.next() == Some(letter))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_a_text_whatever_their_case() {
        let words = Stopwords::new(["Key".to_owned(), "SCHLÜSSEL".to_owned()]);
        for text in ["my_KEY", "keyring", "Haustürschlüssel", "x\u{fffd}SchlÜssel"] {
            assert!(words.are_in(text.as_bytes()), "{text}");
        }
        assert!(words.are_in(b"\xFF\xFEkey\xFF") && words.are_in("\u{e4}\u{e4}schlüssel".as_bytes()));
        assert!(!words.are_in(b"ke y schl\xFCssel") && !words.are_in(b""));
        assert!(Stopwords::new([]).is_empty() && !Stopwords::new([]).are_in(b"a"));
    }
}
