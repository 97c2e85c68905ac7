//! Values that can be guessed: what is weak about a value, and how output is redacted of it.

use keyroll_config::Secret;
use keyroll_leak::{Weakness, occurs_in_words, weakness};
use keyroll_needle::{VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_secret::{Fields, SecretBytes};

/// Where a value is redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// Nowhere: it is too short or too long.
    Nowhere,
    /// Where it stands as a whole word, and in every encoding.
    WholeWord,
    /// Wherever its bytes are.
    Everywhere,
}

impl Redaction {
    /// How this value is redacted.
    pub fn of(value: &SecretBytes) -> Self {
        let searched = (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len());
        match searched {
            false => Self::Nowhere,
            true if occurs_in_words(value.expose()) => Self::WholeWord,
            true => Self::Everywhere,
        }
    }

    fn effect(self) -> &'static str {
        match self {
            Self::Nowhere => "keyroll redact cannot redact it: it is too short",
            Self::WholeWord => "keyroll redact replaces it only where it stands as a whole word",
            Self::Everywhere => "keyroll redact replaces it wherever its bytes are, also in harmless text",
        }
    }
}

/// A field that can be guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakField {
    /// What is weak about it, and what redaction does, in words.
    pub why: String,
    /// Whether keyroll can search for it. If not, no rotation can move it: nothing shows which process uses it.
    pub searched: bool,
}

/// What the secret fields of a credential are worth.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strength {
    /// The fields that cannot be a credential in use, in words.
    pub unusable: Vec<String>,
    /// The fields that can be guessed.
    pub weak: Vec<WeakField>,
}

impl Strength {
    /// Judges the secret fields of a credential of this secret. The one place that does, for every way into the store.
    pub fn of(secret: &Secret, fields: &Fields) -> Self {
        let plain = fields.iter().filter(|(_, field)| !field.secret);
        let plain = plain.filter_map(|(_, field)| std::str::from_utf8(field.value.expose()).ok());
        let names: Vec<&str> = plain.chain([secret.name.as_str()]).collect();
        let mut strength = Self::default();
        for (field, value) in fields.secrets() {
            match weakness(value.expose(), &names) {
                None => {}
                Some(_) if value.is_empty() => {
                    strength.unusable.push(format!("the field `{field}` is empty"));
                }
                // Refused for that.
                Some(_) if value.expose().iter().all(u8::is_ascii_whitespace) => {}
                Some(none @ (Weakness::Placeholder | Weakness::Ciphertext)) => {
                    strength.unusable.push(format!("the field `{field}` is {}", none.describe()));
                }
                Some(weakness) => {
                    let (redaction, what) = (Redaction::of(value), weakness.describe());
                    let why = format!("the field `{field}` is weak: {what}; {}", redaction.effect());
                    strength.weak.push(WeakField { why, searched: redaction != Redaction::Nowhere });
                }
            }
        }
        strength
    }

    /// Why the fields cannot be those of a rotation's new version, in words.
    pub fn unfit(&self) -> Vec<String> {
        let short = self.weak.iter().filter(|field| !field.searched);
        let short =
            short.map(|field| format!("{}, and keyroll could not see which process uses it", field.why));
        self.unusable.iter().cloned().chain(short).collect()
    }
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    fn of(values: &[(&str, &str, bool)]) -> Strength {
        let text = "version = 1\n[secrets.orders]\nissuer = \"openrouter\"\n[[secrets.orders.consumers]]\n\
                    name = \"job\"\nruns = { at_rest = true }\nreads = { file = \"/run/job.key\" }\n";
        let config = Config::parse(text, "/etc/keyroll.toml").unwrap();
        let mut fields = Fields::new();
        for (name, value, secret) in values {
            fields.insert(*name, SecretBytes::from((*value).to_owned()), *secret);
        }
        Strength::of(config.secrets.values().next().unwrap(), &fields)
    }

    #[test]
    fn a_weak_value_is_told_with_what_redaction_does_and_never_shown() {
        for (value, why, effect) in [
            ("improve", "like an ordinary word", "too short"),
            ("optimize", "like an ordinary word", "only where it stands as a whole word"),
            ("20240131", "a number or a date", "wherever its bytes are"),
            ("summer2024", "like words and numbers", "wherever its bytes are"),
            ("ada-2024", "the name of the secret, its user or its host", "wherever its bytes are"),
            ("orders", "the name of the secret, its user or its host", "too short"),
        ] {
            let strength = of(&[("user", "ada", false), ("value", value, true)]);
            assert!(strength.unusable.is_empty());
            let [told] = strength.weak.as_slice() else { panic!("{value}: {:?}", strength.weak) };
            assert_eq!(
                (told.searched, strength.unfit().is_empty()),
                (value.len() >= 8, value.len() >= 8),
                "{value}"
            );
            let told = &told.why;
            assert!(told.starts_with("the field `value` is weak: "), "{told}");
            assert!(told.contains(why) && told.contains(effect) && !told.contains(value), "{told}");
        }
    }

    #[test]
    fn what_cannot_be_a_credential_is_unusable_and_a_random_value_is_neither() {
        for value in [
            "",
            "${DB_PASSWORD}",
            "<your password>",
            "********",
            "[redacted:orders]",
            "REPLACE_ME",
            "ENC[AES256_GCM,data:x]",
        ] {
            let strength = of(&[("value", value, true)]);
            assert_eq!((strength.unusable.len(), strength.weak.len()), (1, 0), "{value}");
        }
        for value in ["kD93hfQ0plm4", "qhzjxkvbnmwpertq", "correct horse battery staple"] {
            assert_eq!(of(&[("value", value, true)]), Strength::default(), "{value}");
        }
        // A plain field is no secret: it may be a word.
        assert_eq!(of(&[("user", "optimize", false)]), Strength::default());
    }
}
