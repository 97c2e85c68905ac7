//! Which values an entry of a Secret, of a ConfigMap or a text of a template has.

use std::path::Path;

use keyroll_copy::percent_decoded;
use keyroll_leak::{
    NotSecretReason, Rule, Rules, holds_a_secret, is_distinct, is_example, names_a_secret, no_secret_under,
    passwords_in, tokens_in,
};
use keyroll_needle::VALUE_BYTES_MIN;
use keyroll_secret::SecretBytes;
use keyroll_trace::values_in;

/// A value.
pub(crate) struct Entry {
    /// Its name within a document.
    pub(crate) name: Option<String>,
    pub(crate) value: SecretBytes,
    /// The rule that matches its form.
    pub(crate) rule: Option<&'static Rule>,
}

/// The last words of the names of what is not secret, although a Secret has it.
const PUBLIC_NAMES: [&str; 22] = [
    "ca",
    "cert",
    "crt",
    "database",
    "dbname",
    "email",
    "endpoint",
    "host",
    "hostname",
    "id",
    "issuer",
    "login",
    "name",
    "namespace",
    "port",
    "pub",
    "region",
    "type",
    "uri",
    "url",
    "user",
    "username",
];

/// The ends of the names of documents.
const DOCUMENTS: [&str; 9] =
    [".env", ".json", ".yaml", ".yml", ".toml", ".ini", ".properties", ".dockercfg", ".dockerconfigjson"];

/// The values of an entry of a Secret. Somebody decided that it is secret, so more counts than elsewhere:
///
/// - of a document (a registry's login, `.env`, JSON, YAML) the values that its reader finds; a private key as a whole;
/// - of an address its password;
/// - everything under the name of a secret, unless it is public, encrypted or a hash, which opens nothing;
/// - everything in the form of a credential;
/// - of the rest what could not be a word, a number, a path, or a reference to a value, unless its name is that of
///   something public (`username`, `host`, `tls.crt`).
///
/// # Errors
/// Why a value under the name of a secret is not followed.
pub(crate) fn of_secret(key: &str, data: &SecretBytes) -> Result<Vec<Entry>, &'static str> {
    let text = without_line_end(data.expose());
    let Ok(rules) = Rules::shipped() else { return Ok(Vec::new()) };
    if is_private_key(text) {
        return Ok(vec![whole(text, rules)]);
    }
    let parts = parts(key, text);
    if !parts.is_empty() {
        return Ok(parts);
    }
    let not = no_secret_under(Some(key), text);
    if names_one(key) {
        return match not {
            Some(NotSecretReason::Public | NotSecretReason::Hash | NotSecretReason::Sealed) => Ok(Vec::new()),
            _ if text.is_empty() => Ok(Vec::new()),
            _ if text.len() < VALUE_BYTES_MIN => Err("it is too short to be told apart from other texts"),
            _ => Ok(vec![whole(text, rules)]),
        };
    }
    let one = whole(text, rules);
    let counts = one.rule.is_some() || not.is_none() && is_distinct(text) && !is_public_name(key);
    Ok(if counts { vec![one] } else { Vec::new() })
}

/// The values of a text that is not meant to be secret: an entry of a ConfigMap, a variable of a template. Only what its
/// name, its position or its form shows.
pub(crate) fn of_text(name: &str, data: &SecretBytes) -> Vec<Entry> {
    let text = without_line_end(data.expose());
    let Ok(rules) = Rules::shipped() else { return Vec::new() };
    if is_private_key(text) {
        return vec![whole(text, rules)];
    }
    let parts = parts(name, text);
    if !parts.is_empty() {
        return parts;
    }
    let one = whole(text, rules);
    let named = holds_a_secret(name, text) && no_secret_under(Some(name), text).is_none();
    if named || one.rule.is_some() { vec![one] } else { Vec::new() }
}

/// The values in a document, or in an address.
fn parts(name: &str, text: &[u8]) -> Vec<Entry> {
    if is_document(name, text) {
        let found = values_in(Path::new(name), text).into_iter();
        return found.map(|one| Entry { name: one.name, value: one.value, rule: one.rule }).collect();
    }
    let spans = passwords_in(text).into_iter().chain(tokens_in(text));
    let part = |span: std::ops::Range<usize>| {
        let own = text.get(span)?;
        let plain = if own.contains(&b'%') { percent_decoded(own) } else { None };
        let value = SecretBytes::new(plain.unwrap_or_else(|| own.to_vec()));
        (no_secret_under(None, own) != Some(NotSecretReason::Reference)).then_some(Entry {
            name: None,
            value,
            rule: None,
        })
    };
    spans.filter_map(part).collect()
}

/// Whether an entry is read as a file with several values.
fn is_document(name: &str, text: &[u8]) -> bool {
    let small = name.to_ascii_lowercase();
    text.contains(&b'\n') || text.starts_with(b"{") || DOCUMENTS.iter().any(|end| small.ends_with(end))
}

/// Whether the text is, or has, a private key (RFC 7468): its certificate may stand beside it.
fn is_private_key(text: &[u8]) -> bool {
    text.starts_with(b"-----BEGIN ") && text.windows(16).any(|part| part == b"PRIVATE KEY-----")
}

fn whole(text: &[u8], rules: &'static Rules) -> Entry {
    let rule = rules.of(text).filter(|_| !is_example(text));
    Entry { name: None, value: SecretBytes::new(text.to_vec()), rule }
}

/// A line end behind a value is no part of it: `echo` writes one, and readers of files leave it out.
pub(crate) fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Whether a key is the name of a secret: `api-key`, `password`, `OPENAI_KEY`, `WIDGET-KEY`.
fn names_one(key: &str) -> bool {
    let variable = key.to_ascii_uppercase().replace(['-', '.'], "_");
    names_a_secret(key) || keyroll_leak::names_a_key(&variable)
}

fn is_public_name(key: &str) -> bool {
    let small = key.to_ascii_lowercase();
    let last = small.rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    PUBLIC_NAMES.contains(&last)
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::*;

    fn values(key: &str, text: &str) -> Vec<String> {
        let found = of_secret(key, &SecretBytes::from(text.to_owned())).unwrap();
        found.iter().map(|one| String::from_utf8(one.value.expose().to_vec()).unwrap()).collect()
    }

    #[test]
    fn what_a_secret_has_under_the_name_of_a_secret_counts_whatever_it_looks_like() {
        let random = alphanumeric(24);
        for (key, text) in [
            ("api-key", random.as_str()),
            ("password", "correct-horse"),
            ("OPENAI_KEY", &random),
            ("token", "550e8400-e29b-41d4-a716-446655440000"),
        ] {
            assert_eq!(values(key, text), [text], "{key}");
            assert_eq!(values(key, &format!("{text}\n")), [text], "{key}");
        }
        let short = of_secret("password", &SecretBytes::from("abc12".to_owned()));
        assert!(short.is_err());
        assert!(values("password", "").is_empty());
    }

    #[test]
    fn public_parts_of_a_secret_do_not_count() {
        let certificate =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", alphanumeric(64));
        for (key, text) in [
            ("tls.crt", certificate.as_str()),
            ("ca.crt", &certificate),
            ("namespace", "prod"),
            ("username", "svc_Orders2024"),
            ("host", "db-1.internal.example.net"),
            ("port", "5432"),
            ("environment", "production"),
            ("debug", "true"),
        ] {
            assert!(values(key, text).is_empty(), "{key}");
        }
    }

    #[test]
    fn what_stands_under_another_name_counts_if_it_can_only_be_a_credential() {
        let random = alphanumeric(24);
        assert_eq!(values("anthropic", &random), [random.as_str()]);
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", alphanumeric(64));
        assert_eq!(values("tls.key", &format!("{key}\n")), [key.as_str()]);
        let url = format!("postgres://app:{random}@db:5432/orders");
        assert_eq!(values("DATABASE_URL", &url), [random.as_str()]);
    }

    #[test]
    fn the_values_of_a_document_have_their_names() {
        let [one, other] = [alphanumeric(24), alphanumeric(24)];
        let text = format!("OPENAI_API_KEY={one}\nMODE=fast\nDB_PASSWORD={other}\n");
        let found = of_secret(".env", &SecretBytes::from(text)).unwrap();
        let named: Vec<_> = found.iter().map(|one| (one.name.as_deref(), one.value.expose())).collect();
        assert_eq!(
            named,
            [(Some("OPENAI_API_KEY"), one.as_bytes()), (Some("DB_PASSWORD"), other.as_bytes())]
        );
    }

    #[test]
    fn elsewhere_only_a_name_a_position_or_a_form_shows_a_value() {
        let random = alphanumeric(24);
        let found = |name: &str, text: &str| of_text(name, &SecretBytes::from(text.to_owned())).len();
        assert_eq!(found("API_TOKEN", &random), 1);
        assert_eq!(found("ANY", &keyroll_testkit::github_token()), 1);
        assert_eq!(found("URL", &format!("redis://:{random}@cache:6379")), 1);
        assert_eq!(found("BUILD", &random), 0);
        assert_eq!(found("API_TOKEN", "${API_TOKEN}"), 0);
    }
}
