pub(crate) mod prefilter;

use crate::secret_names::prefilter::may_name_a_secret;

/// The last words of the names of secrets.
pub(crate) const LAST: [&[&str]; 43] = [
    &["api", "key"],
    &["apikey"],
    &["access", "key"],
    &["secret", "key"],
    &["private", "key"],
    &["encryption", "key"],
    &["signing", "key"],
    &["master", "key"],
    &["service", "key"],
    &["account", "key"],
    &["salt", "key"],
    &["auth", "key"],
    &["shared", "key"],
    &["storage", "key"],
    &["hmac", "key"],
    &["jwt", "key"],
    // Wireless networks.
    &["psk"],
    // ASP.NET.
    &["validation", "key"],
    &["decryption", "key"],
    // WireGuard.
    &["preshared", "key"],
    // Redis.
    &["requirepass"],
    &["masterauth"],
    // Rails and Phoenix.
    &["secret", "key", "base"],
    // WordPress.
    &["logged", "in", "key"],
    &["nonce", "key"],
    &["logged", "in", "salt"],
    &["nonce", "salt"],
    &["auth", "salt"],
    // Drupal and Devise.
    &["hash", "salt"],
    &["pepper"],
    // kubeconfig.
    &["key", "data"],
    &["token"],
    &["secret"],
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["pass"],
    &["pwd"],
    &["pw"],
    &["credential"],
    &["credentials"],
    &["creds"],
    &["authorization"],
];

/// The same without separators: `PGPASSWORD`.
pub(crate) const JOINED: [&str; 6] = ["password", "passwd", "passphrase", "apikey", "token", "secret"];

/// Last words that do not change the meaning: `OPENAI_API_KEY_PROD`, `DB_PASSWORD_2`.
const AFTER: [&str; 13] = [
    "live",
    "prod",
    "production",
    "dev",
    "staging",
    "test",
    "old",
    "new",
    "backup",
    "primary",
    "secondary",
    "default",
    "value",
];

/// Last words of names for something about a secret.
const ABOUT: [&str; 10] = ["file", "path", "id", "name", "url", "type", "ttl", "length", "header", "env"];

/// Words before `token` for page tokens and form tokens, which are no secrets.
const PASSING: [&str; 15] = [
    "next",
    "previous",
    "starting",
    "continuation",
    "pagination",
    "cursor",
    "csrf",
    "xsrf",
    "cancellation",
    "idempotency",
    // Rails.
    "authenticity",
    // AWS.
    "forward",
    "backward",
    "lock",
    "change",
];

/// Words before `token` for identifiers of requests, if the value is a UUID.
const OF_REQUESTS: [&str; 7] = ["request", "client", "action", "update", "creation", "caller", "tracking"];

/// Words before `KEY` for keys that are not secret, or that name a row, an object or a request.
const HARMLESS_KEYS: [&str; 66] = [
    "public",
    "pub",
    "publishable",
    "primary",
    "foreign",
    "unique",
    "sort",
    "partition",
    "hash",
    "range",
    "shard",
    "index",
    "group",
    "join",
    "order",
    "cache",
    "redis",
    "memcached",
    "object",
    "bucket",
    "s3",
    "file",
    "image",
    "blob",
    "artifact",
    "row",
    "record",
    "item",
    "field",
    "column",
    "slot",
    "map",
    "dict",
    "lookup",
    "lock",
    "mutex",
    "idempotency",
    "dedup",
    "deduplication",
    "routing",
    "binding",
    "message",
    "event",
    "topic",
    "trace",
    "tracking",
    "request",
    "correlation",
    "host",
    "known",
    "gpg",
    "pgp",
    "verify",
    "verification",
    "verifying",
    "site",
    "project",
    "instrumentation",
    "measurement",
    "issue",
    "ticket",
    "translation",
    "locale",
    "feature",
    "build",
    "checksum",
];

/// The last words of names of passwords that people choose.
const CHOSEN: [&str; 6] = ["password", "passwd", "passphrase", "pass", "pwd", "pw"];

/// Directives of systemd with the name of a credential: its source, or a condition. Also the folder of a shell, and a
/// part of .NET assembly names.
const DIRECTIVES: [&str; 8] = [
    "pwd",
    "publickeytoken",
    "loadcredential",
    "loadcredentialencrypted",
    "importcredential",
    "setcredentialencrypted",
    "conditioncredential",
    "assertcredential",
];

/// Whether the value of a name is a secret: `OPENAI_API_KEY`, `dbPassword`, `bot-token`; not `TOKEN_FILE`.
pub fn names_a_secret(name: &str) -> bool {
    // Most names contain none of these words, and need not be split.
    let may_be_one = may_name_a_secret(name.as_bytes()) || ends_in_pw(name);
    if !may_be_one || DIRECTIVES.iter().any(|one| name.eq_ignore_ascii_case(one)) {
        return false;
    }
    let words = words_before(name);
    // The name of a .NET assembly contains a public token.
    if ends_in(&words, &["public", "key", "token"]) || ends_in(&words, &["public", "token"]) {
        return false;
    }
    // A reference: `existingSecret` of a Helm chart.
    if words.first().is_some_and(|first| first == "existing") {
        return false;
    }
    // What the value was before nobody can read from it.
    if words.iter().any(|word| matches!(word.as_str(), "encrypted" | "sealed" | "hashed")) {
        return false;
    }
    if words.last().is_some_and(|last| ABOUT.contains(&last.as_str())) {
        return false;
    }
    if is_passing(&words) {
        return false;
    }
    if words.last().is_some_and(|last| JOINED.iter().any(|end| last.ends_with(end))) {
        return true;
    }
    LAST.iter().any(|last| ends_in(&words, last))
}

/// Whether a name is that of a variable for some key: `WIDGET_KEY`, not `PUBLIC_KEY` or `KEY`. The value decides.
pub fn names_a_key(name: &str) -> bool {
    let variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.bytes().all(variable) || !name.contains("_KEY") {
        return false;
    }
    let words = words_before(name);
    let [before @ .., kind, last] = words.as_slice() else { return false };
    let public = |word: &String| matches!(word.as_str(), "public" | "pub" | "publishable");
    last == "key" && !HARMLESS_KEYS.contains(&kind.as_str()) && !before.iter().any(public)
}

/// `next_page_token`, `csrfToken`.
fn is_passing(words: &[String]) -> bool {
    let [before @ .., last] = words else { return false };
    let passes = |word: &String| PASSING.contains(&word.as_str());
    let page = matches!(before, [.., page] if page == "page");
    let of = before.split_last().map_or(&[][..], |(_, of)| of);
    last == "token" && (before.last().is_some_and(passes) || page && of.last().is_none_or(passes))
}

/// `clientToken`, `RequestToken`: AWS's names for idempotency tokens.
pub(crate) fn names_a_request(name: &str) -> bool {
    matches!(words_before(name).as_slice(), [.., of, last] if last == "token" && OF_REQUESTS.contains(&of.as_str()))
}

/// Whether the value of a name is a password, which people choose: `dbPassword`, not `API_TOKEN`.
pub(crate) fn names_a_password(name: &str) -> bool {
    let words = words_before(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    names_a_secret(name) && (CHOSEN.contains(&last) || last.ends_with("password") || last.ends_with("passwd"))
}

/// Whether the value of a name is a key or token, which a program sends as it is: `API_KEY`, `WIDGET_KEY`.
pub(crate) fn names_a_key_or_token(name: &str) -> bool {
    let words = words_before(name);
    let ends = |last: &String| ["key", "apikey", "token"].iter().any(|end| last.ends_with(end));
    words.last().is_some_and(ends) && (names_a_secret(name) || names_a_key(name))
}

/// The name of one of several: `api_key` for `api_keys`, `token` for `tokens`; none for `token`.
pub(crate) fn singular(name: &str) -> Option<&str> {
    let plural = ["keys", "tokens", "secrets", "passwords", "passphrases", "creds", "credentials", "passwds"];
    let name = Some(name).filter(|name| name.ends_with(['s', 'S']))?;
    let small = name.to_ascii_lowercase();
    let is_plural = plural.iter().any(|end| small.ends_with(end));
    name.strip_suffix(['s', 'S']).filter(|one| is_plural && names_a_secret(one))
}

/// Words that do not say which service a secret belongs to.
const WEAK: [&str; 24] = [
    "access", "admin", "api", "app", "auth", "basic", "bearer", "body", "bot", "client", "config", "default",
    "env", "header", "headers", "json", "key", "my", "personal", "refresh", "request", "session", "user",
    "value",
];

/// The service that a name belongs to: `openai` for `OPENAI_API_KEY` and `providers.openai.apiKey`; none for
/// `apiKey`.
pub fn named_for(name: &str) -> Option<String> {
    name.rsplit(['.', '/', ':', '[', ']']).find_map(|part| {
        let mut words = words(part);
        let after = words.iter().rev().take_while(|word| comes_after(word)).count();
        let after = words.split_off(words.len() - after);
        while let Some(left) = without_last(&words) {
            words.truncate(left.0);
            words.extend(left.1);
        }
        if names_a_key(part) && words.last().is_some_and(|last| last == "key") {
            words.pop();
        }
        if words.iter().all(|word| WEAK.contains(&word.as_str())) {
            return None;
        }
        words.extend(after);
        Some(words.join("-"))
    })
}

/// The number of words before those that mean a secret, and the rest of the last one.
fn without_last(words: &[String]) -> Option<(usize, Option<String>)> {
    let longest = LAST.iter().filter(|last| ends_in(words, last)).map(|last| last.len()).max();
    if let Some(longest) = longest {
        return Some((words.len() - longest, None));
    }
    let last = words.last()?;
    let before = JOINED.iter().find_map(|end| last.strip_suffix(end)).filter(|before| !before.is_empty())?;
    Some((words.len() - 1, Some(before.to_owned())))
}

fn ends_in(words: &[String], last: &[&str]) -> bool {
    let tail = words.len().checked_sub(last.len()).and_then(|from| words.get(from..));
    tail.is_some_and(|tail| tail.iter().zip(last).all(|(a, b)| a == b))
}

/// `db_pw`, `PW2`: two letters are too common to search for alone.
fn ends_in_pw(name: &str) -> bool {
    let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let end = bare.len().checked_sub(2).and_then(|from| bare.get(from..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("pw"))
}

/// The words of a name without last words that do not change the meaning.
fn words_before(name: &str) -> Vec<String> {
    let mut words = words(name);
    while words.last().is_some_and(|last| comes_after(last)) {
        words.pop();
    }
    words
}

/// Separates a number from a last word that means a secret: `API_KEY2`, `clientSecret2`; not `OAUTH2`.
fn part_number(words: &mut Vec<String>) {
    let Some(at) = words.iter().rposition(|word| !comes_after(word)) else { return };
    let Some(word) = words.get_mut(at) else { return };
    let bare = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if bare.len() == word.len() {
        return;
    }
    let is_last = LAST.iter().any(|last| last.last() == Some(&bare));
    let says = is_last || AFTER.contains(&bare) || JOINED.iter().any(|end| bare.ends_with(end));
    let length = bare.len();
    if says {
        let number = word.split_off(length);
        words.insert(at + 1, number);
    }
}

fn comes_after(word: &str) -> bool {
    AFTER.contains(&word) || word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of a name, in lower case: split at other characters, before a capital after a lower-case letter, and
/// before the number of a secret.
fn words(name: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && small) {
            all.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if letter.is_ascii_alphanumeric() {
            word.push(letter.to_ascii_lowercase());
        }
        small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    all.extend((!word.is_empty()).then_some(word));
    part_number(&mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_give_to_secrets() {
        for name in [
            "OPENAI_API_KEY",
            "dbPassword",
            "bot-token",
            "PGPASSWORD",
            "openaiApiKey",
            "AWS_SECRET_ACCESS_KEY",
            "DB_PASSWORD_2",
            "ANTHROPIC_API_KEY_PROD",
            "apiKey",
            "NPM_TOKEN",
            "client_secret",
            "LITELLM_SALT_KEY",
            "SMTP_PASS",
            "PresharedKey",
            "requirepass",
            "FB_PAGE_TOKEN",
            "pageAccessToken",
            "SECRET_KEY_BASE",
            "API_KEY_LIVE",
            "DB_PW",
            "LDAP_BIND_PW",
            "PW",
            "dbPw",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in [
            "TOKEN_FILE",
            "LoadCredential",
            "PWD",
            "ConditionCredential",
            "PATH",
            "KEY_ID",
            "SSH_AUTH_SOCK",
            "KEYBOARD",
            "API_KEY_ID",
            "COMPASS",
            "max_tokens",
            "existingSecret",
            "PublicKeyToken",
            "LoadCredential",
            "PWD",
            "OLDPWD",
            "next_page_token",
            "nextToken",
            "pageToken",
            "csrfToken",
            "PublicKeyToken",
            "encrypted_password",
            "encryptedApiKey",
            "db.hashed_password",
            "",
        ] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn a_number_after_a_name_changes_nothing_of_it() {
        for name in [
            "API_KEY2",
            "API_KEY10",
            "PASSWORD1",
            "DB_PASSWORD2",
            "TOKEN2",
            "SECRET2",
            "clientSecret2",
            "PGPASSWORD2",
            "API_KEY2_PROD",
            "API_KEY_PROD2",
            "DB_PW2",
            "PW2",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in
            ["OAUTH2", "SHA256", "TOKEN_ID2", "KEY2", "TOKEN2_FILE", "nextToken2", "compass2", "max_tokens2"]
        {
            assert!(!names_a_secret(name), "{name}");
        }
        assert!(names_a_password("dbPassword2") && !names_a_password("API_TOKEN2"));
        assert!(names_a_request("ClientToken2"));
        assert_eq!(named_for("OPENAI_API_KEY2").as_deref(), Some("openai-2"));
        assert_eq!(named_for("OAUTH2").as_deref(), Some("oauth2"));
    }

    #[test]
    fn a_plural_names_several() {
        for (name, one) in [
            ("api_keys", Some("api_key")),
            ("apiKeys", Some("apiKey")),
            ("API_KEYS", Some("API_KEY")),
            ("tokens", Some("token")),
            ("passwords", Some("password")),
            ("credentials", Some("credential")),
            ("keys", None),
            ("token", None),
            ("max_tokens", Some("max_token")),
            ("pass", None),
            ("PUBLIC_KEYS", None),
            ("csrf_tokens", None),
        ] {
            assert_eq!(singular(name), one, "{name}");
        }
    }

    #[test]
    fn passwords_differ_from_tokens() {
        for name in ["dbPassword", "PGPASSWORD", "SMTP_PASS", "keystorePass", "DB_PASSWORD_2", "passphrase"] {
            assert!(names_a_password(name), "{name}");
        }
        for name in ["API_TOKEN", "secret", "api_key", "PASSWORD_FILE", "compass", ""] {
            assert!(!names_a_password(name), "{name}");
        }
    }

    #[test]
    fn a_name_says_whose_secret_it_is() {
        for (name, whose) in [
            ("OPENAI_API_KEY", Some("openai")),
            ("providers.openai.apiKey", Some("openai")),
            ("env.vars.OPENAI_API_KEY", Some("openai")),
            ("profiles.anthropic:default.key", Some("anthropic")),
            ("AWS_SECRET_ACCESS_KEY", Some("aws")),
            ("TELEGRAM_BOT_TOKEN", Some("telegram-bot")),
            ("DB_PASSWORD_2", Some("db-2")),
            ("OPENAI_API_KEY_PROD", Some("openai-prod")),
            ("PGPASSWORD", Some("pg")),
            ("DATABASE_URL", Some("database-url")),
            ("auth.admin.header.Authorization", None),
            ("WIDGET_KEY", Some("widget")),
            ("WIDGET_KEY_PROD", Some("widget-prod")),
            ("SORT_KEY", Some("sort-key")),
            ("apiKey", None),
            ("client_secret", None),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(named_for(name).as_deref(), whose, "{name}");
        }
    }
}
