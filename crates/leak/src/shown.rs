use std::ops::Range;

use crate::Rules;

/// The longest name, bytes: what a configuration takes.
pub const NAME_BYTES_MAX: usize = 64;

/// The fewest letters and digits in a row of which it is told whether they are a word, bytes.
const RANDOM_BYTES_MIN: usize = 12;

/// How many letters there are in words for each digit or capital within them.
const LETTERS_PER_CHANGE: usize = 6;

/// What stands for a part that is not to be shown.
pub const HIDDEN: &str = "…";

/// Words in which names stand that anybody may have chosen: with `…` for each that has the form of a credential, or is no name.
/// Paths stay.
pub fn plain_words(words: &str) -> String {
    let mut hits = Vec::new();
    if let Ok(rules) = Rules::shipped() {
        rules.find(words.as_bytes(), &mut |finding| hits.push(finding.span));
    }
    without(words, " ", &hits, &|word| {
        let inner = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        !(word.starts_with('/') || is_name(inner))
    })
}

/// A text with `…` for every part of it in which one of the hits stands, or that is not to be shown.
pub fn without(text: &str, between: &str, hits: &[Range<usize>], hides: &dyn Fn(&str) -> bool) -> String {
    let mut from = 0;
    let part = |part: &str| {
        let own = from..from + part.len();
        from = own.end + between.len();
        let hit = hits.iter().any(|hit| hit.start < own.end && own.start < hit.end);
        if hit || hides(part) { HIDDEN.to_owned() } else { part.to_owned() }
    };
    text.split(between).map(part).collect::<Vec<_>>().join(between)
}

/// Whether a part of a name looks like one: short, and made of words.
pub fn is_name(part: &str) -> bool {
    let mut runs = part.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    part.len() <= NAME_BYTES_MAX && !is_number(part) && !runs.any(is_random)
}

/// Whether letters and digits change so often that nobody reads a word in them. A capital before small letters begins one.
fn is_random(run: &[u8]) -> bool {
    let kind = |byte: u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase());
    let changes = |at: usize| {
        let [one, two] = [at, at + 1].map(|at| run.get(at).copied().unwrap_or_default());
        let begins = two.is_ascii_uppercase() && run.get(at + 2).is_some_and(u8::is_ascii_lowercase);
        let goes_on = one.is_ascii_uppercase() && two.is_ascii_lowercase();
        kind(one) != kind(two) && !begins && !goes_on
    };
    let changes = (0..run.len().saturating_sub(1)).filter(|at| changes(*at)).count();
    run.len() >= RANDOM_BYTES_MIN && changes * LETTERS_PER_CHANGE >= run.len()
}

/// A checksum or a UUID: it tells rows apart and names nothing.
pub fn is_number(text: &str) -> bool {
    text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_a_key_is_no_name() {
        let formed = crate::rules::checksum::Checksum::Crc32Base62
            .fitted(format!("ghp_{}", "abcdefghijklmnopqr".repeat(2)).as_bytes());
        let formed = String::from_utf8(formed).unwrap();
        let random = "a1b2".repeat(5);
        let path = format!("/srv/{random}/openclaw.json");
        for name in [formed.as_str(), &random, &format!("p:{formed}"), &format!("`p:{random}`,")] {
            assert_eq!(plain_words(&format!("{path} has {name} and p:x")), format!("{path} has … and p:x"));
        }
        for words in ["the profile anthropic:default in its store", "profile p:manual", "one@example.com", ""]
        {
            assert_eq!(plain_words(words), words);
        }
    }
}
