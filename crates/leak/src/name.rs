/// The last words of a name that say: here stands a secret.
const LAST: [&[&str]; 23] = [
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
    // Of a kubeconfig.
    &["key", "data"],
    &["token"],
    &["secret"],
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["pass"],
    &["pwd"],
    &["credential"],
    &["credentials"],
    &["authorization"],
];

/// The same where nothing parts the words: `PGPASSWORD`.
const JOINED: [&str; 6] = ["password", "passwd", "passphrase", "apikey", "token", "secret"];

/// Words at the end that change nothing of what the name says: `OPENAI_API_KEY_PROD`, `DB_PASSWORD_2`.
const AFTER: [&str; 12] = [
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

/// Words at the end of names that stand for something about a secret, which is none itself.
const ABOUT: [&str; 10] = ["file", "path", "id", "name", "url", "type", "ttl", "length", "header", "env"];

/// Whether a name says that its value is a secret: `OPENAI_API_KEY`, `dbPassword`, `bot-token`; not `TOKEN_FILE`.
pub fn names_a_secret(name: &str) -> bool {
    let mut words = words(name);
    while words
        .last()
        .is_some_and(|last| AFTER.contains(&last.as_str()) || last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        words.pop();
    }
    // Where it is: `existingSecret` of a Helm chart, `LoadCredential` of a unit.
    if words.first().is_some_and(|first| matches!(first.as_str(), "existing" | "load" | "import")) {
        return false;
    }
    if words.last().is_some_and(|last| ABOUT.contains(&last.as_str())) {
        return false;
    }
    if words.last().is_some_and(|last| JOINED.iter().any(|end| last.ends_with(end))) {
        return true;
    }
    LAST.iter().any(|last| {
        let from = words.len().checked_sub(last.len());
        from.and_then(|from| words.get(from..))
            .is_some_and(|tail| tail.iter().zip(*last).all(|(a, b)| a == b))
    })
}

/// The words of a name, in small letters: cut at what is no letter or digit, and where a capital follows a small one.
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
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in [
            "TOKEN_FILE",
            "PATH",
            "KEY_ID",
            "SSH_AUTH_SOCK",
            "KEYBOARD",
            "API_KEY_ID",
            "COMPASS",
            "max_tokens",
            "existingSecret",
            "LoadCredential",
            "",
        ] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
