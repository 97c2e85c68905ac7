//! Texts of alerts, as they are kept and shown: short, on one line, without the leaked value.

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::operator::plain;
use crate::redact;

/// The longest text that is kept, characters.
const CHARS_MAX: usize = 300;
/// The length of the parts of a value that are looked for, bytes.
const PART_BYTES: usize = 12;

/// The values of an alert, in lower case: none of them, and no longer part of one, may stand in a text.
pub(super) struct Told(Vec<Zeroizing<Vec<u8>>>);

impl Told {
    pub(super) fn of<'v>(values: impl IntoIterator<Item = &'v SecretBytes>) -> Self {
        let lower = |value: &SecretBytes| Zeroizing::new(value.expose().to_ascii_lowercase());
        Self(values.into_iter().map(lower).collect())
    }

    /// A text. One that has a part of a value, also in other letters or in an address, is not kept at all: what is left of
    /// it would say the rest.
    pub(super) fn line(&self, text: &str) -> String {
        if self.has_part(text) {
            return "(not shown: it holds the value)".to_owned();
        }
        let clean = redact::pass(text);
        plain(&clean.chars().take(CHARS_MAX).collect::<String>())
    }

    /// The same of a place: of an address what may hold a credential is left out, the user and the query.
    pub(super) fn address(&self, text: &str) -> String {
        self.line(&bare(text))
    }

    fn has_part(&self, text: &str) -> bool {
        let text = text.as_bytes().to_ascii_lowercase();
        self.0.iter().any(|value| {
            let part = PART_BYTES.min(value.len());
            part > 0 && value.windows(part).any(|part| text.windows(part.len()).any(|window| window == part))
        })
    }
}

fn bare(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find([' ', '?', '#']).unwrap_or(rest.len());
    let (address, after) = rest.split_at(end);
    let authority = address.find('/').unwrap_or(address.len());
    let (authority, path) = address.split_at(authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // What follows an address, such as a path in a repository, is no part of it.
    let after = after.find(' ').map_or("", |at| after.get(at..).unwrap_or_default());
    format!("{scheme}://{host}{path}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_value_is_kept() {
        let value = SecretBytes::from("Tok3n-of-4-test-Zx81".to_owned());
        let told = Told::of([&value]);
        for text in [
            "Tok3n-of-4-test-Zx81",
            "x tok3n-OF-4-TEST-zx81 y",
            "Tok3n-of-4-tes",
            "k3n-of-4-test in the middle",
        ] {
            assert_eq!(told.line(text), "(not shown: it holds the value)", "{text}");
        }
        assert_eq!(told.line("a\nb\u{202e}c"), "a b\u{fffd}c");
        assert_eq!(Told::of([]).line(&"x".repeat(400)).len(), CHARS_MAX);
    }

    #[test]
    fn an_address_loses_its_user_and_its_query() {
        for (text, kept) in [
            ("https://a:b@wiki.example/page?token=x#y", "https://wiki.example/page"),
            ("https://git.example/a/b/security/1: a.env:3", "https://git.example/a/b/security/1: a.env:3"),
            ("https://git.example/?k=v in commit 1", "https://git.example/ in commit 1"),
            ("deploy.sh:3 in commit 4", "deploy.sh:3 in commit 4"),
        ] {
            assert_eq!(bare(text), kept);
        }
    }
}
