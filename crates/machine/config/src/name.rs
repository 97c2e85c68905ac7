use std::fmt;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;

/// The name of the machine that keyroll runs on; it need not be declared.
pub const LOCAL: &str = "local";
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name of ours: lower-case ASCII letters, digits, `.`, `_`, `-`; begins with a letter or digit; at most 64 bytes.
///
/// Narrow on purpose: names become labels at issuers, file names and arguments, and look-alikes must not exist. Only the name
/// of a consumer on several machines has an `@`, which nobody writes: `NAME@HOST`, each part a name by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name; `None` if a character, the length or the first character is not allowed.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let fits = text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed);
        (starts && fits).then_some(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the machine that keyroll runs on.
    pub(crate) fn local() -> Self {
        Self(LOCAL.to_owned())
    }

    /// The name of a consumer on one of its machines: `NAME@HOST`.
    pub(crate) fn on_host(&self, host: &Self) -> Self {
        Self(format!("{self}@{host}"))
    }

    /// Reads a name of the file; `what` says what it names, for the error.
    pub(crate) fn read(what: &str, text: &At<String>) -> Result<Self, Mistake> {
        Self::new(text.value.as_str()).ok_or_else(|| {
            let fault = Mistake::new(
                Kind::BadName,
                format!(
                    "the name of {what} must be 1 to {NAME_BYTES_MAX} of a-z 0-9 . _ - and begin with a letter or digit"
                ),
            );
            fault.at(&text.span)
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map with names as keys accepts plain text in look-ups.
impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["a", "orders-db", "0", "a.b_c-9", &"x".repeat(64)] {
            assert!(Name::new(good).is_some(), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            "-a",
            "_a",
            "A",
            "a b",
            "a/b",
            "a@b",
            "a\n",
            "é",
            "a\u{202e}",
            "а",
            &"x".repeat(65),
        ];
        for bad in bad {
            assert!(Name::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_with_its_host_may_be_as_long_as_both_together() {
        let longest = Name::new("x".repeat(NAME_BYTES_MAX)).unwrap();
        let on = longest.on_host(&Name::local());
        assert_eq!(on.as_str(), format!("{longest}@local"));
        assert_eq!(Name::new("local"), Some(Name::local()));
    }
}
