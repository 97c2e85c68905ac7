use std::ops::Range;

use crate::Rules;

/// The longest name, bytes: the limit of the configuration.
pub const NAME_BYTES_MAX: usize = 64;

/// The shortest run of letters and digits that can look random, bytes.
const RANDOM_BYTES_MIN: usize = 12;

/// The letters of a word for each digit or capital in it.
const LETTERS_PER_CHANGE: usize = 6;

/// Stands for a hidden part.
pub const MASK: &str = "…";

/// Masks words in names that anybody may have chosen: `…` for each that has the format of a credential, or is not a
/// name. Keeps paths.
pub fn mask_words(words: &str) -> String {
    let mut hits = Vec::new();
    if let Ok(rules) = Rules::shipped() {
        rules.find(words.as_bytes(), &mut |finding| hits.push(finding.span));
    }
    mask_parts(words, " ", &hits, &|word| {
        let inner = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        !(word.starts_with('/') || looks_like_name(inner))
    })
}

/// Replaces by `…` every part of a text that contains a hit or may not be shown.
pub fn mask_parts(text: &str, between: &str, hits: &[Range<usize>], hides: &dyn Fn(&str) -> bool) -> String {
    let mut from = 0;
    let part = |part: &str| {
        let own = from..from + part.len();
        from = own.end + between.len();
        let hit = hits.iter().any(|hit| hit.start < own.end && own.start < hit.end);
        if hit || hides(part) { MASK.to_owned() } else { part.to_owned() }
    };
    text.split(between).map(part).collect::<Vec<_>>().join(between)
}

/// Whether a part of a name is short and made of words.
pub fn looks_like_name(part: &str) -> bool {
    let mut runs = part.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    part.len() <= NAME_BYTES_MAX && !looks_like_hex_id(part) && !runs.any(is_random)
}

/// Whether letters and digits alternate too often for words. A capital before lower-case letters begins a word.
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

/// Whether a text is a checksum or a UUID: it identifies and names nothing.
pub fn looks_like_hex_id(text: &str) -> bool {
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
            assert_eq!(mask_words(&format!("{path} has {name} and p:x")), format!("{path} has … and p:x"));
        }
        for words in ["the profile anthropic:default in its store", "profile p:manual", "one@example.com", ""]
        {
            assert_eq!(mask_words(words), words);
        }
    }
}
