/// Why a value that stands where a secret could is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSecret {
    /// It has too few bytes to be told from chance.
    Short,
    /// It only says where the value is: `${NAME}`, `os.environ/NAME`, `op://…`.
    Reference,
    /// It holds the place for a value that somebody is to put there: `changeme`, `<your key>`.
    Placeholder,
    /// A switch, a number, a path, an address.
    Setting,
}

/// The fewest bytes of a secret that is found by its name alone.
const BYTES_MIN: usize = 8;

const PLACEHOLDERS: [&str; 22] = [
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "example",
    "your-",
    "your_",
    "yourkey",
    "xxxx",
    "todo",
    "dummy",
    "redacted",
    "replace",
    "insert",
    "sk-...",
    "<",
    "fake",
    "sample",
    "enter-",
    "paste",
    "notset",
    "undefined",
];

const REFERENCES: [&str; 16] = [
    "${",
    "$(",
    "{{",
    "os.environ/",
    "env:",
    "file:",
    "op://",
    "vault:",
    "secret:",
    "arn:aws:secretsmanager",
    "ref+",
    "!vault",
    "enc[",
    "sops:",
    "keyroll:",
    "bao:",
];

/// Why a value is no secret, or nothing where it may be one.
pub fn no_secret(value: &[u8]) -> Option<NoSecret> {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    let small = text.to_ascii_lowercase();
    if REFERENCES.iter().any(|start| small.starts_with(start)) || is_variable(text) {
        return Some(NoSecret::Reference);
    }
    if value.len() < BYTES_MIN {
        return Some(NoSecret::Short);
    }
    let first = small.bytes().next().unwrap_or_default();
    if PLACEHOLDERS.iter().any(|word| small.contains(word)) || small.bytes().all(|byte| byte == first) {
        return Some(NoSecret::Placeholder);
    }
    let setting =
        small.starts_with('/') || small.starts_with("./") || small.starts_with("~/") || is_address(&small);
    let number = small.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':'));
    (setting || number).then_some(NoSecret::Setting)
}

/// `$NAME`, whole.
fn is_variable(text: &str) -> bool {
    let Some(name) = text.strip_prefix('$') else { return false };
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// An address without a login.
fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| !rest.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_value_is_none() {
        for (value, why) in [
            ("${OPENAI_API_KEY}", NoSecret::Reference),
            ("$OPENAI_API_KEY", NoSecret::Reference),
            ("os.environ/OPENAI_API_KEY", NoSecret::Reference),
            ("op://vault/item/key", NoSecret::Reference),
            ("<your key here>", NoSecret::Placeholder),
            ("sk-xxxxxxxxxxxxxxxx", NoSecret::Placeholder),
            ("changeme123", NoSecret::Placeholder),
            ("true", NoSecret::Short),
            ("/run/secrets/key", NoSecret::Setting),
            ("https://api.example.net/v1", NoSecret::Placeholder),
            ("https://api.openai.com/v1", NoSecret::Setting),
            ("1718000000", NoSecret::Setting),
        ] {
            assert_eq!(no_secret(value.as_bytes()), Some(why), "{value}");
        }
        assert_eq!(no_secret(b"correct horse battery"), None);
        assert_eq!(no_secret(b"pa$$w0rd-of-mine"), None);
    }
}
