use std::borrow::Cow;

use keyroll_leak::{FORM_BYTES_MIN, Rules, is_example};
use keyroll_needle::Needles;

/// The rule of an id that is no secret by itself, and that an operator must be able to read: two keys of a user differ in it.
const PUBLIC_ID: &str = "aws-access-key-id";

/// Redacts the values that an inspection found, and texts in the form of a credential.
pub struct Cleaner {
    found: Option<Needles>,
}

impl Cleaner {
    /// Redacts these values in every encoding; without them only texts in the form of a credential.
    pub fn new(found: Option<Needles>) -> Self {
        Self { found }
    }

    /// The text without values.
    pub fn pass<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = match &self.found {
            Some(needles) => needles.redact_text(text),
            None => Cow::Borrowed(text),
        };
        match without_formed(&text) {
            Some(clean) => Cow::Owned(clean),
            None => text,
        }
    }
}

/// The text without texts in the form of a credential; `None` if there are none. Values that only the words before
/// them reveal stay, because a rotation's id also follows an issuer's name.
pub fn without_formed(text: &str) -> Option<String> {
    // Shorter than any credential.
    if text.len() < FORM_BYTES_MIN {
        return None;
    }
    let mut clean = String::new();
    let mut from = 0;
    Rules::shipped().ok()?.find(text.as_bytes(), &mut |finding| {
        let value = text.get(finding.span.clone()).unwrap_or_default();
        if finding.rule.is_sure() && finding.rule.id != PUBLIC_ID && !is_example(value.as_bytes()) {
            clean.push_str(text.get(from..finding.span.start).unwrap_or_default());
            clean.push_str(&format!("[redacted:{}]", finding.rule.id));
            from = finding.span.end;
        }
    });
    (from > 0).then(|| clean + text.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use keyroll_needle::NeedleId;
    use keyroll_secret::SecretBytes;

    use super::*;

    #[test]
    fn a_value_that_was_found_and_one_that_nobody_knows_are_cut_out() {
        let (value, token) = (keyroll_testkit::alphanumeric(14), keyroll_testkit::github_token());
        let needles = Needles::builder().add(NeedleId(0), &SecretBytes::from(value.clone()));
        let cleaner = Cleaner::new(needles.name(NeedleId(0), "value").build().ok());
        assert_eq!(
            cleaner.pass(&format!("a {value} b {token}.")),
            "a [redacted:value] b [redacted:github-classic-token]."
        );
        assert!(matches!(cleaner.pass("api (pid 4711)"), Cow::Borrowed(_)));
        assert_eq!(Cleaner::new(None).pass(&value), value);
    }
}
