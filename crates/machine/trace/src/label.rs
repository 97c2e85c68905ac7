use std::fmt;

use keyroll_leak::Rule;
use keyroll_secret::{Fingerprint, SecretBytes};

/// The part of a value that may be displayed: its kind's public prefix, and a part of its keyed fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The public prefix; empty where the kind has none.
    pub begins: String,
    /// Hex digits of the fingerprint.
    pub digits: String,
}

impl Label {
    /// The fewest digits that are shown.
    pub(crate) const DIGITS_MIN: usize = 6;

    /// `hex`: the digits of the fingerprint, of which the first ones are shown.
    pub(crate) fn of(bytes: &SecretBytes, rule: Option<&Rule>, hex: &str, digits: usize) -> Self {
        let begins = rule.into_iter().flat_map(|rule| &rule.begins);
        let begin = begins
            .filter(|begin| bytes.expose().starts_with(begin.as_bytes()))
            .max_by_key(|begin| begin.len());
        let digits = hex.chars().take(digits.max(Self::DIGITS_MIN)).collect();
        Self { begins: begin.cloned().unwrap_or_default(), digits }
    }

    pub(crate) fn hex(fingerprint: &Fingerprint) -> String {
        fingerprint.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…·{}", self.begins, self.digits)
    }
}
