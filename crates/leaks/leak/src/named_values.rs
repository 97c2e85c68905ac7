use crate::allowlist::is_distinct;
use crate::confidence::is_random_key;
use crate::secret_names::{names_a_key, names_a_secret};

/// Whether a name together with its value is a secret: every name of a secret, and a variable such as `WIDGET_KEY`
/// whose value looks random.
pub fn holds_a_secret(name: &str, value: &[u8]) -> bool {
    names_a_secret(name) || names_a_key(name) && is_distinct(value) && is_random_key(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_ends_in_key_holds_a_secret_if_its_value_looks_random() {
        let value = b"wdg_8f3kQz71LmP0Rv5tYb2Nw9Xs";
        for other in ["wdg_hQzTLmPkRvWtYbGNw9XsfaJe", "wdg-5f1a9bcde23f4456abcdef01", "kD93hfQ0plm4Tz"] {
            assert!(holds_a_secret("WIDGET_KEY", other.as_bytes()), "{other}");
        }
        for name in ["WIDGET_KEY", "AI_KEY", "WIDGET_KEY_PROD", "WIDGET_KEY2", "STRIPE_LIVE_KEY"] {
            assert!(holds_a_secret(name, value), "{name}");
            assert!(!holds_a_secret(name, b"widget:settings:v2"), "{name}");
            assert!(!holds_a_secret(name, b"user-profile-2024-list"), "{name}");
            assert!(!holds_a_secret(name, b"UserProfileSettings2024"), "{name}");
            assert!(!holds_a_secret(name, b"8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e"), "{name}");
        }
        for name in [
            "KEY",
            "PUBLIC_KEY",
            "SSH_PUBLIC_KEY",
            "NEXT_PUBLIC_STRIPE_KEY",
            "STRIPE_PUBLISHABLE_KEY",
            "PRIMARY_KEY",
            "SORT_KEY",
            "CACHE_KEY",
            "PARTITION_KEY",
            "S3_OBJECT_KEY",
            "IDEMPOTENCY_KEY",
            "RECAPTCHA_SITE_KEY",
            "GPG_KEY",
            "WIDGET_KEY_ID",
            "WIDGET_KEY_FILE",
            "WIDGET_KEYS",
            "MONKEY",
            "widgetKey",
            "widget_key",
        ] {
            assert!(!holds_a_secret(name, value), "{name}");
        }
    }
}
