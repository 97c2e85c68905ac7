use std::borrow::Cow;

use keyroll_leak::{FORM_BYTES_MIN, Rules, is_example, occurs_in_words};
use keyroll_needle::{BuildError, NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_secret::SecretBytes;

/// The rule of an id that is no secret by itself, and that an operator must be able to read: two keys of a user differ in it.
const PUBLIC_ID: &str = "aws-access-key-id";

/// The number of all given values among the needles, and what is written instead of one.
const VALUE: NeedleId = NeedleId(0);
const NAME: &str = "value";

/// Redacts the values that an inspection found, and texts in the form of a credential.
pub struct Cleaner {
    found: Option<Needles>,
}

impl Cleaner {
    /// Redacts these values in every encoding; without them only texts in the form of a credential.
    pub fn new(found: Option<Needles>) -> Self {
        Self { found }
    }

    /// Redacts given values too. One that is too short or too long to be found in a text stays.
    ///
    /// # Errors
    /// There are too many.
    pub fn of_values<'a>(values: impl IntoIterator<Item = &'a SecretBytes>) -> Result<Self, BuildError> {
        let mut builder = Needles::builder().name(VALUE, NAME);
        let fit = |value: &&SecretBytes| (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len());
        for value in values.into_iter().filter(fit) {
            builder = match occurs_in_words(value.expose()) {
                true => builder.add_word(VALUE, value),
                false => builder.add(VALUE, value),
            };
        }
        Ok(Self::new(Some(builder.build()?)))
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
