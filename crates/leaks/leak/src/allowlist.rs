pub(crate) mod published;

use crate::allowlist::published::is_published;
use crate::names_a_secret;
use crate::secret_names::names_a_key_or_token;

/// Why a value under the name of a secret is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSecretReason {
    /// It is too short to be distinguished from a chance match.
    Short,
    /// It names where the value is: `${NAME}`, `os.environ/NAME`, `op://…`.
    Reference,
    /// A placeholder for a value: `changeme`, `<your key>`.
    Placeholder,
    /// A switch, a number, a path, an address.
    Setting,
    /// A password hash or a checksum: it opens nothing.
    Hash,
    /// Encrypted: a secret, but unreadable here.
    Sealed,
    /// Text for people: a label, an explanation.
    Text,
    /// A public key or a certificate.
    Public,
}

/// The shortest secret that is found only by its name, bytes.
pub(crate) const BYTES_MIN: usize = 8;

/// Prefixes of encrypted values, in lower case: sops, Ansible, OpenSSL and CryptoJS, age, PGP, Vault's transit,
/// Spring, Jasypt, Fernet, ejson; dotenvx, the Stanford JavaScript library and Laravel (JSON in base64), KMS of AWS, DPAPI
/// of Windows in base64 and as PowerShell writes it, WebLogic, Kapitan, secrets at rest of Kubernetes.
const SEALED: [&str; 22] = [
    "enc[",
    "$ansible_vault;",
    "u2fsdgvkx1",
    "-----begin age encrypted",
    "-----begin pgp message",
    "age-encryption.org/",
    "vault:v1:",
    "{cipher}",
    "enc(",
    "gaaaaab",
    "ej[1:",
    "encrypted:",
    "eyjpdii6",
    "eyjjdci6",
    "aqicah",
    "aqaaancmnd8bfderjhoawe",
    "01000000d08c9ddf0115d1118c7a00c04fc297eb",
    "{aes",
    "{3des}",
    "?{gpg:",
    "k8s:enc:",
    "enc:v1:",
];

/// Prefixes of long encrypted values in base64: Bitnami's SealedSecret with a key of 4,096 bits, Google's KMS.
const SEALED_LONG: [&str; 5] = ["AgA", "AgB", "AgC", "AgD", "CiQA"];

/// The shortest of these, bytes: a key of 32 bytes that KMS encrypted.
const SEALED_LONG_BYTES_MIN: usize = 96;

/// Prefixes of password hashes and checksums, in lower case.
const HASHES: [&str; 21] = [
    "$1$",
    "$2a$",
    "$2b$",
    "$2y$",
    "$5$",
    "$6$",
    "$7$",
    "$y$",
    "$apr1$",
    "$argon2",
    "$pbkdf2",
    "$scrypt$",
    "pbkdf2",
    "scrypt:",
    "bcrypt",
    "{ssha",
    "{sha",
    "{crypt}",
    "scram-sha-",
    "sha256:",
    "sha512-",
];

/// Prefixes of public keys and certificates, in lower case.
const PUBLIC: [&str; 9] = [
    "publickeytoken=",
    "-----begin public key",
    "-----begin rsa public key",
    "-----begin certificate",
    // The same in base64.
    "ls0tls1crudjtibdrvjusuzjq0furs",
    "ssh-rsa aaaa",
    "ssh-ed25519 aaaa",
    "ecdsa-sha2-",
    "sk-ssh-ed25519",
];

/// The schemes before a token in a header.
const SCHEMES: [&str; 4] = ["bearer ", "basic ", "token ", "bot "];

const REFERENCES: [&str; 58] = [
    "${",
    "$(",
    "$env:",
    "{{",
    "<%",
    "%(",
    "%env(",
    "#{",
    "%{",
    "((",
    "[[",
    "$__",
    "@@",
    "os.environ",
    "os.getenv",
    "process.env",
    "import.meta.env",
    "std::env",
    "getenv(",
    "env(",
    "env.",
    "env[",
    "env:",
    "env/",
    "file:",
    "op://",
    "vault:",
    "vault://",
    "bao:",
    "secret:",
    "secret/",
    "secrets.",
    "secretref:",
    "arn:aws:",
    "ref+",
    "!vault",
    "!secret",
    "!env",
    "!ref",
    "!sub",
    "!getatt",
    "keyroll:",
    "ssm:",
    "aws-sm:",
    "gcp-sm:",
    "sm://",
    "akv://",
    "doppler:",
    "infisical:",
    "keychain:",
    "@microsoft.keyvault(",
    "projects/",
    "var.",
    "local.",
    "data.",
    "module.",
    "config.",
    "settings.",
];

/// Parts of placeholders, anywhere in a value, in lower case.
const PLACEHOLDERS: [&str; 24] = [
    "changeme",
    "change-me",
    "change_me",
    "change this",
    "placeholder",
    "example",
    "yourkey",
    "your-",
    "your_",
    "your ",
    "xxxxx",
    "redacted",
    "replaceme",
    "replace-",
    "replace_",
    "replace ",
    "insert-",
    "insert_",
    "insert ",
    "enter-",
    "enter_",
    "enter ",
    "...",
    "****",
];

/// Parts of placeholders as separate words.
const PLACEHOLDER_WORDS: [&str; 11] =
    ["todo", "tbd", "dummy", "fake", "mock", "sample", "paste", "xxxx", "notset", "redacted", "placeholder"];

/// Values that are placeholders as a whole.
const WHOLE: [&str; 18] = [
    "undefined",
    "required",
    "optional",
    "disabled",
    "unspecified",
    "password",
    "passphrase",
    "username",
    "anonymous",
    "encrypted",
    "not-set",
    "not_set",
    "not set",
    "no-secret",
    "same-origin",
    "generate",
    "automatic",
    "external",
];

/// Why a value under a secret's name is not a secret; `None` if it may be one.
pub fn no_secret(value: &[u8]) -> Option<NotSecretReason> {
    no_secret_under(None, value)
}

/// Does the same under a known name. A program stores the hash of a password, but never the hash of the key that it
/// sends: that key only looks like one.
pub fn no_secret_under(name: Option<&str>, value: &[u8]) -> Option<NotSecretReason> {
    let text = String::from_utf8_lossy(value);
    let text = without_scheme(text.trim());
    let small = text.to_ascii_lowercase();
    if PUBLIC.iter().any(|start| small.starts_with(start)) || is_age_recipient(&small) {
        return Some(NotSecretReason::Public);
    }
    if SEALED.iter().any(|start| small.starts_with(start)) || is_sealed_long(text) {
        return Some(NotSecretReason::Sealed);
    }
    let sent = || small.starts_with('$') && name.is_some_and(names_a_key_or_token);
    let hash = HASHES.iter().any(|start| small.starts_with(start)) || is_md5(&small) || is_verifier(&small);
    if hash && !sent() {
        return Some(NotSecretReason::Hash);
    }
    if REFERENCES.iter().any(|start| small.starts_with(start))
        || !hash && is_marked(text)
        || is_expression(text)
    {
        return Some(NotSecretReason::Reference);
    }
    if value.len() < BYTES_MIN {
        return Some(NotSecretReason::Short);
    }
    if is_placeholder(&small) || is_made_up(value) || is_published(text.as_bytes()) {
        return Some(NotSecretReason::Placeholder);
    }
    // After the placeholders, because `your-api-key` looks like a name too.
    if looks_like_name(text) {
        return Some(NotSecretReason::Reference);
    }
    if is_text(text) {
        return Some(NotSecretReason::Text);
    }
    (is_path(text) || is_address(&small) || looks_like_hex_id(&small)).then_some(NotSecretReason::Setting)
}

/// Whether a value in the format of a credential is an example: `AKIAIOSFODNN7EXAMPLE`, `ghp_xxxx…`, or one that
/// documentation publishes.
pub fn is_example(value: &[u8]) -> bool {
    let small = value.to_ascii_lowercase();
    let has = |word: &str| small.windows(word.len()).any(|part| part == word.as_bytes());
    // A random text of this length contains one of these words by chance once in many millions.
    ["example", "placeholder", "redacted", "changeme", "xxxxxxxx"].iter().any(|word| has(word))
        || is_made_up(value)
        || is_published(value)
}

/// Whether a value can be searched for by itself. Ordinary words, which people choose as passwords, occur everywhere.
pub fn is_distinct(value: &[u8]) -> bool {
    let kinds: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit, |byte| {
            !byte.is_ascii_alphanumeric()
        }];
    let kinds = kinds.iter().filter(|kind| value.iter().any(kind)).count();
    let words = value.split(|byte| !byte.is_ascii_alphanumeric()).all(|word| {
        let letters = word.iter().all(u8::is_ascii_lowercase) && word.len() < 2 * BYTES_MIN;
        letters || word.iter().all(u8::is_ascii_digit) && word.len() < BYTES_MIN
    });
    // Words with a number or punctuation between them may be a name or a version, unless they are long.
    value.len() >= BYTES_MIN && kinds >= 2 && !(words && value.len() < 2 * BYTES_MIN)
        || value.len() >= 2 * BYTES_MIN && different(value) >= BYTES_MIN && !words
        || value.len() >= 3 * BYTES_MIN && different(value) >= BYTES_MIN
}

fn without_scheme(text: &str) -> &str {
    let begins =
        |scheme: &&&str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let scheme = SCHEMES.iter().find(begins).map_or(0, |scheme| scheme.len());
    text.get(scheme..).unwrap_or_default().trim_start()
}

/// `$NAME`, `$NAME/file`, `$section::NAME`, `%NAME%`, `@NAME@`, `@NAME`, `__NAME__`, `{name}`, `[NAME]`, `:name`.
fn is_marked(text: &str) -> bool {
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let variable = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
    };
    // In SQL.
    let small = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let bound = between(":", "").is_some_and(|name| small(name) && names_a_secret(name));
    let marks = [("$", ""), ("%", "%"), ("@", "@"), ("@", ""), ("__", "__"), ("{", "}"), ("[", "]")];
    let rest = text.strip_prefix('$');
    let below = rest.and_then(|rest| rest.split_once('/').or_else(|| rest.split_once("::")));
    let first = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    bound
        || below.or(first).is_some_and(|(name, _)| is_word(name))
        || marks.iter().any(|(open, close)| {
            let named = |name: &str| {
                let digits = name.bytes().filter(u8::is_ascii_digit).count();
                is_word(name)
                    && match (*open, *close) {
                        // In shells a digit is a name of its own.
                        ("$", _) => {
                            digits == name.len() || !name.starts_with(|first: char| first.is_ascii_digit())
                        }
                        ("{" | "%", _) => true,
                        // A password may begin like this.
                        ("@", "") => variable(name) && (digits == 0 || name.contains('_')),
                        _ => variable(name),
                    }
            };
            between(open, close).is_some_and(named)
        })
}

/// The bare name of a variable, or of a source of secrets: `CREDENTIALS_DIRECTORY`, `x-access-token`.
fn looks_like_name(text: &str) -> bool {
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let small = text.bytes().all(|byte| byte.is_ascii_lowercase());
    let variable = text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_word(text) && (variable || !digits && !small && names_a_secret(text))
}

fn is_word(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.bytes().all(good)
}

/// A call or an index in a program: `lookup("key")`, `config["key"]`.
fn is_expression(text: &str) -> bool {
    let text = text.trim_end_matches([';', ',']);
    let Some(open) = text.find(['(', '[']) else { return false };
    let closed = text.ends_with([')', ']']);
    let name = text.get(..open).unwrap_or_default();
    let good = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b':');
    closed && name.len() > 2 && name.bytes().all(good)
}

fn is_sealed_long(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() >= SEALED_LONG_BYTES_MIN
        && SEALED_LONG.iter().any(|start| text.starts_with(start))
        && text.bytes().all(good)
}

fn is_md5(small: &str) -> bool {
    let digits = small.strip_prefix("md5").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What age encrypts for, also of a plugin: `age1…`, `age1yubikey1…`. Its secret key begins otherwise.
fn is_age_recipient(small: &str) -> bool {
    let Some(rest) = small.strip_prefix("age1") else { return false };
    let data = rest.rsplit_once('1').map_or(rest, |(_, data)| data);
    let digit = |byte: u8| byte.is_ascii_alphanumeric() && !b"1bio".contains(&byte);
    data.len() >= 58 && data.bytes().all(digit)
}

/// A line of `htpasswd`, or of a pool's list of users: a user and a password hash.
fn is_verifier(small: &str) -> bool {
    let behind = small.split_once(':').map_or("", |(_, behind)| behind);
    is_md5(behind) || behind.starts_with(['$', '{']) && HASHES.iter().any(|start| behind.starts_with(start))
}

pub(crate) fn is_placeholder(small: &str) -> bool {
    let mut words = small.split(|letter: char| !letter.is_ascii_alphanumeric());
    (small.starts_with('<') && small.ends_with('>'))
        || WHOLE.contains(&small)
        || PLACEHOLDERS.iter().any(|mark| small.contains(mark))
        || words.any(|word| PLACEHOLDER_WORDS.contains(&word))
}

/// A repetition of a few letters, or letters in keyboard or alphabet order: what people type in place of a key.
pub(crate) fn is_made_up(value: &[u8]) -> bool {
    let from = value.iter().position(|byte| !byte.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    // Look behind the public prefix, if enough remains there.
    let random = value.get(from..).filter(|rest| rest.len() >= BYTES_MIN).unwrap_or(value);
    let next = |pair: &&[u8]| match pair {
        [one, two] => {
            one == two || one.wrapping_add(1) == *two || (*one == b'9' && matches!(two, b'0' | b'a' | b'A'))
        }
        _ => false,
    };
    let in_order = random.windows(2).filter(next).count();
    let few = different(random) <= if random.len() < 12 { 2 } else { 3 };
    few || random.len() >= 12 && in_order * 5 >= random.len() * 3
}

/// The number of different bytes.
pub(crate) fn different(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(place) = seen.get_mut(usize::from(*byte)) {
            *place = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Several words that begin with a capital or end like a sentence.
fn is_text(text: &str) -> bool {
    let letters =
        |word: &str| word.chars().all(|letter| letter.is_alphabetic() || ",.'’()/&-".contains(letter));
    let several = text.contains(' ');
    let sentence = text.ends_with(['.', '?', '!', ':', '…']);
    several && (sentence || text.starts_with(char::is_uppercase) && text.split(' ').all(letters))
}

/// Top-level folders of every machine.
const FOLDERS: [&str; 18] = [
    "/bin/", "/boot/", "/dev/", "/etc/", "/home/", "/lib/", "/media/", "/mnt/", "/opt/", "/proc/", "/root/",
    "/run/", "/sbin/", "/srv/", "/sys/", "/tmp/", "/usr/", "/var/",
];

/// Base64 contains `/` too, and begins with it in one of 64 values: so a part of a path must be a word, or the value
/// must begin like a path.
fn is_path(text: &str) -> bool {
    if FOLDERS.iter().any(|folder| text.starts_with(folder)) {
        return true;
    }
    let rooted = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    let class = |byte: u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let change =
        |pair: &&[u8]| matches!(pair, [one, two] if class(*one) != class(*two)) && pair.iter().all(in_word);
    let changes = |part: &str| part.as_bytes().windows(2).filter(change).count();
    // No base64 alphabet has both characters.
    let named = text.contains(['.', '_', '-']) && text.get(1..).is_some_and(|rest| rest.contains('/'));
    rooted && (named || text.split('/').all(|part| changes(part) * 4 <= part.len() + 8))
}

/// An address without a login.
fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| !rest.contains('@'))
}

/// Numbers, times, versions, also with a unit.
fn looks_like_hex_id(small: &str) -> bool {
    let number = small.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let unit = small.len() - number.len();
    let mark =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':' | b'+' | b't' | b' ' | b'_');
    unit <= 8 && !number.is_empty() && number.bytes().all(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_secrets() {
        for (value, why) in [
            ("${OPENAI_API_KEY}", NotSecretReason::Reference),
            ("$OPENAI_API_KEY", NotSecretReason::Reference),
            ("os.environ/OPENAI_API_KEY", NotSecretReason::Reference),
            ("op://vault/item/key", NotSecretReason::Reference),
            ("%API_TOKEN%", NotSecretReason::Reference),
            ("__DB_PASSWORD__", NotSecretReason::Reference),
            ("OPENAI_API_KEY", NotSecretReason::Reference),
            ("CREDENTIALS_DIRECTORY", NotSecretReason::Reference),
            ("$dir/private/cakey.pem", NotSecretReason::Reference),
            ("@BILLING", NotSecretReason::Reference),
            ("{cred.value}", NotSecretReason::Reference),
            ("Bearer {cred.value}", NotSecretReason::Reference),
            ("Bearer ${TOKEN}", NotSecretReason::Reference),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2m", NotSecretReason::Public),
            ("x-access-token", NotSecretReason::Reference),
            ("process.env.TOKEN", NotSecretReason::Reference),
            ("lookup('env', 'TOKEN')", NotSecretReason::Reference),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:x", NotSecretReason::Reference),
            ("${{ secrets.NPM_TOKEN }}", NotSecretReason::Reference),
            ("vault:secret/data/app#key", NotSecretReason::Reference),
            ("<your key here>", NotSecretReason::Placeholder),
            ("sk-xxxxxxxxxxxxxxxx", NotSecretReason::Placeholder),
            ("sk-1234567890abcdef1234567890abcdef", NotSecretReason::Placeholder),
            ("changeme123", NotSecretReason::Placeholder),
            ("your-api-key", NotSecretReason::Placeholder),
            ("********", NotSecretReason::Placeholder),
            ("sk-ant-...", NotSecretReason::Placeholder),
            ("0000000000000000", NotSecretReason::Placeholder),
            ("https://api.example.net/v1", NotSecretReason::Placeholder),
            ("true", NotSecretReason::Short),
            ("/run/secrets/key", NotSecretReason::Setting),
            ("/tmp/.tmpR7tZ1nB5cY", NotSecretReason::Setting),
            ("$insta::secret", NotSecretReason::Reference),
            ("~/.config/app/token.json", NotSecretReason::Setting),
            ("/tmp/.tmph3l2rQ7Xk9Zb/app", NotSecretReason::Setting),
            ("{value}@127.0.0.1:@ISSUER", NotSecretReason::Reference),
            ("https://api.openai.com/v1", NotSecretReason::Setting),
            ("1718000000", NotSecretReason::Setting),
            ("2026-01-02T03:04:05Z", NotSecretReason::Setting),
            ("86400 seconds", NotSecretReason::Setting),
            ("md5a1b2c3d4e5f60718a9b0c1d2e3f40516", NotSecretReason::Hash),
            ("postgres:md5a1b2c3d4e5f60718a9b0c1d2e3f40516", NotSecretReason::Hash),
            ("enc:v1:kD93hfQ0plm4XyT7", NotSecretReason::Sealed),
            ("age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq", NotSecretReason::Public),
            (
                "age1yubikey1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gqx",
                NotSecretReason::Public,
            ),
            ("ENC[AES256_GCM,data:abc,type:str]", NotSecretReason::Sealed),
            ("encrypted:kD93hfQ0plm4", NotSecretReason::Sealed),
            ("{AES}kD93hfQ0plm4=", NotSecretReason::Sealed),
            ("?{gpg:app/db:5f1a9bcd}", NotSecretReason::Sealed),
            ("$1", NotSecretReason::Reference),
            ("@S3_KEY", NotSecretReason::Reference),
            ("Forgot your password?", NotSecretReason::Placeholder),
            ("Reset Password", NotSecretReason::Text),
            ("a password has eight letters.", NotSecretReason::Text),
        ] {
            assert_eq!(no_secret(value.as_bytes()), Some(why), "{value}");
        }
        for value in [
            "correct horse battery",
            "pa$$w0rd-of-mine",
            "hunter2hunter2",
            "<b>4Kd9x",
            "data-7f3KqZ",
            "a(9kL)q2f",
            "$9kDf93hfQ0plm4",
            "@QDAX1LGGW9",
            "AgBd93hfQ0plm4",
            "age1kD93hfQ0plm4",
            "postgres:md5kD93hf",
            "enc:kD93hfQ0plm4",
        ] {
            assert_eq!(no_secret(value.as_bytes()), None, "{value}");
        }
        // Built here, so that no file contains a hash or a key.
        for (start, why) in [
            ("$2b$12$", NotSecretReason::Hash),
            ("U2FsdGVkX1", NotSecretReason::Sealed),
            ("gAAAAAB", NotSecretReason::Sealed),
        ] {
            assert_eq!(no_secret(format!("{start}{}", "kD93hfQ0plm4").as_bytes()), Some(why), "{start}");
        }
        assert_eq!(no_secret(b"/Kx8mQ2vR7tZ1nB5cY9wLpD4sG6hJ3fA=="), None, "base64 may begin with a slash");
    }

    #[test]
    fn a_key_may_look_like_the_hash_of_a_password() {
        let hash = format!("$2a$10${}", "kD93hfQ0plm4".repeat(4));
        for name in ["API_KEY", "apiKey", "auth_token", "SECRET_KEY", "WIDGET_KEY"] {
            assert_eq!(no_secret_under(Some(name), hash.as_bytes()), None, "{name}");
        }
        for name in ["DB_PASSWORD", "PASSWD", "secret", "credentials", "htpasswd"] {
            assert_eq!(no_secret_under(Some(name), hash.as_bytes()), Some(NotSecretReason::Hash), "{name}");
        }
        assert_eq!(no_secret_under(Some("API_KEY"), b"sha256:0a1b2c3d4e5f"), Some(NotSecretReason::Hash));
        assert_eq!(no_secret(hash.as_bytes()), Some(NotSecretReason::Hash));
    }

    #[test]
    fn a_long_value_in_base64_may_be_ciphertext_by_its_beginning() {
        for start in ["AgB", "AgD", "CiQA"] {
            let long = format!("{start}{}", "kD93hfQ0plm4".repeat(9));
            assert_eq!(no_secret(long.as_bytes()), Some(NotSecretReason::Sealed), "{start}");
            assert_eq!(no_secret(&long.as_bytes()[..60]), None, "{start}");
        }
    }

    #[test]
    fn a_key_of_a_document_is_an_example() {
        for value in
            ["AKIAIOSFODNN7EXAMPLE", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "glpat-12345678901234567890"]
        {
            assert!(is_example(value.as_bytes()), "{value}");
        }
        assert!(!is_example(b"glpat-kD93hfQ0plm4XyT71bQe"));
    }

    #[test]
    fn ordinary_words_are_not_searched_for() {
        for value in ["postgres", "my-secret-pw", "rabbitmq", "00000000000000000000", "app-db-2024"] {
            assert!(!is_distinct(value.as_bytes()), "{value}");
        }
        for value in
            ["kD93hfQ0plm4", "Tr0ub4dor", "a3f81c09be77d214", "correct horse battery staple", "pa$$w0rd"]
        {
            assert!(is_distinct(value.as_bytes()), "{value}");
        }
    }
}
