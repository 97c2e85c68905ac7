//! What makes a value weak: words, names, numbers, patterns, and what only stands for a value.

use zeroize::Zeroizing;

use crate::allowlist::{BYTES_MIN, NotSecretReason, different, is_made_up, is_placeholder, no_secret};

/// Why a value can be guessed, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// It stands for a value and opens nothing: `${NAME}`, `<your key>`, `****`, one of keyroll's markers.
    Placeholder,
    /// What another program encrypted, such as sops: it opens nothing until that program decrypts it.
    Ciphertext,
    /// The name of its secret, user or host, also with a number after it.
    Name,
    /// A password that programs are shipped with, or that is tried first.
    Default,
    /// Fewer than 16 digits: a number, a date.
    Number,
    /// Few characters, repeated or in the order of the alphabet or of a keyboard.
    Pattern,
    /// The name of a variable, or a reference to a value.
    Reference,
    /// A host, an address or a path.
    Address,
    /// An ordinary word.
    Word,
    /// A few words, or a word with a number or punctuation.
    Words,
    /// It has fewer bytes than are searched for.
    Short,
}

impl Weakness {
    /// What the value is, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Placeholder => "a placeholder, not a value",
            Self::Ciphertext => "ciphertext, not a value",
            Self::Name => "the name of the secret, its user or its host",
            Self::Default => "a well-known password or a placeholder",
            Self::Number => "a number or a date",
            Self::Pattern => "a repetition or a row of characters",
            Self::Reference => "the name of a variable, or a reference to a value",
            Self::Address => "the name of a host, an address or a path",
            Self::Word => "like an ordinary word",
            Self::Words => "like words and numbers",
            Self::Short => "very short",
        }
    }
}

/// The end of the lengths of a word, bytes. A text of small letters that is longer is as hard to guess as a key.
const WORD_BYTES_END: usize = 16;

/// The shortest run of letters that is judged as a word, bytes.
const WORD_BYTES_MIN: usize = 4;

/// The most digits in a row that people add to a word.
const NUMBER_BYTES_MAX: usize = 4;

/// The fewest different letters of a word; fewer are a pattern.
const LETTERS_MIN: usize = 4;

/// The most consonants in a row within a word.
const CONSONANTS_MAX: usize = 4;

/// The shortest name with which a value is compared, bytes.
const NAME_BYTES_MIN: usize = 3;

/// Passwords that programs are shipped with and those that people choose most often, without numbers after them.
const COMMON: [&str; 60] = [
    "abc",
    "access",
    "admin",
    "administrator",
    "baseball",
    "batman",
    "changeit",
    "changeme",
    "default",
    "docker",
    "dragon",
    "elastic",
    "football",
    "grafana",
    "guest",
    "hello",
    "hunter",
    "iloveyou",
    "jenkins",
    "letmein",
    "login",
    "mariadb",
    "master",
    "minio",
    "minioadmin",
    "mongo",
    "mongodb",
    "monkey",
    "mysql",
    "oracle",
    "pass",
    "passphrase",
    "password",
    "postgres",
    "postgresql",
    "princess",
    "qwerty",
    "rabbit",
    "rabbitmq",
    "raspberry",
    "redis",
    "root",
    "secret",
    "shadow",
    "starwars",
    "sunshine",
    "superman",
    "superuser",
    "test",
    "tester",
    "testing",
    "tomcat",
    "toor",
    "trustno",
    "ubuntu",
    "user",
    "username",
    "vagrant",
    "welcome",
    "whatever",
];

/// Words that tell the reader to put a value in their place, without what stands between their parts. `changeme` too is a
/// password that programs are shipped with.
const INSTRUCTIONS: [&str; 4] = ["replaceme", "fillmein", "insertme", "insertyourkeyhere"];

/// The rows of a keyboard, and a way down its columns.
const KEYBOARD: [&str; 7] =
    ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "1q2w3e4r5t6z", "1qaz2wsx3edc4rfv"];

/// Of each letter, those that follow it in English: the 330 most frequent pairs in 6,031 different words of the manuals
/// of Rust 1.95, of keyroll and of the packages that it uses. 95% of the words of 8 to 15 letters have no other pair, and
/// 2% of texts of 8 random letters.
const PAIRS: [&str; 26] = [
    "bcdfgiklmnprstuvwxyz",
    "aceilorstuy",
    "acehiklorstuy",
    "abdegilnorsuvy",
    "abcdefghiklmnopqrstuvwxy",
    "aefilorstuy",
    "aeghilmnorsu",
    "aeilmorstuy",
    "abcdefgklmnoprstvxz",
    "eou",
    "aeilnst",
    "abcdefiklopstuvy",
    "abeilmopstu",
    "acdefghiklmnoprstuvwy",
    "abcdefgiklmnoprstuvwx",
    "aehiloprstuy",
    "u",
    "abcdefgiklmnoprstuvwy",
    "acefhiklmnoprstuwy",
    "acdefhilmoprstuwy",
    "abcdefgilmnoprst",
    "aeio",
    "aehilnors",
    "aceipt",
    "eilmnopst",
    "aei",
];

/// Why a value is weak; `None` if nothing says so. `names`: what belongs to it, such as its secret and its user.
pub fn weakness(value: &[u8], names: &[&str]) -> Option<Weakness> {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    let small = Zeroizing::new(text.to_lowercase());
    let not_secret = no_secret(value);
    let plain = is_plain(text);
    let checks: [(Weakness, &dyn Fn() -> bool); 11] = [
        (Weakness::Placeholder, &|| stands_for_a_value(text)),
        (Weakness::Ciphertext, &|| is_enclosed_ciphertext(text)),
        (Weakness::Name, &|| names.iter().any(|name| is_named(&small, name))),
        (Weakness::Default, &|| is_common(&small) || is_placeholder(&small)),
        (Weakness::Number, &|| is_number(text)),
        (Weakness::Pattern, &|| is_made_up(value) || is_on_keyboard(&small)),
        (Weakness::Reference, &|| plain && not_secret == Some(NotSecretReason::Reference)),
        (Weakness::Address, &|| plain && (not_secret == Some(NotSecretReason::Setting) || is_host(text))),
        (Weakness::Word, &|| is_word(text)),
        (Weakness::Words, &|| plain && text.len() < WORD_BYTES_END),
        (Weakness::Short, &|| value.len() < BYTES_MIN),
    ];
    checks.into_iter().find(|(_, holds)| holds()).map(|(weakness, _)| weakness)
}

/// Whether an ordinary text has this value inside longer words, so that it must be a whole one to be redacted:
/// `optimize`, `read-only`. A key never is: a value of 16 bytes or more, with digits, with small and capital letters
/// mixed, or with pairs of letters that English does not have.
pub fn occurs_in_words(value: &[u8]) -> bool {
    if !(BYTES_MIN..WORD_BYTES_END).contains(&value.len()) {
        return false;
    }
    let common = |word: &[u8]| COMMON.iter().any(|common| word.eq_ignore_ascii_case(common.as_bytes()));
    let word = |part: &[u8]| {
        let rare = usize::from(part.len() >= 10);
        part.len() > 1 && is_one_case(part) && (common(part) || is_wordlike(part, rare))
    };
    different(value) >= LETTERS_MIN && value.split(|byte| b" -_.".contains(byte)).all(word)
}

/// `<your key>`, `${NAME}`, `{{ name }}`, `$(command)`, `****`, `[redacted:name]`.
fn stands_for_a_value(text: &str) -> bool {
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let label = |inner: &str| {
        let good = |letter: char| letter.is_alphabetic() || " -_.'".contains(letter);
        inner.len() >= NAME_BYTES_MIN && inner.chars().all(good)
    };
    let first = text.chars().next();
    let masked = text.chars().count() >= 3
        && first.is_some_and(|mask| "xX*•.…#?_-".contains(mask))
        && text.chars().all(|letter| Some(letter) == first);
    masked
        || between("<", ">").is_some_and(label)
        || between("[redacted:", "]").is_some()
        || INSTRUCTIONS.iter().any(|instruction| is_same_word(text, instruction))
        || [("${", "}"), ("{{", "}}"), ("$(", ")"), ("%(", ")s")]
            .iter()
            .any(|(open, close)| between(open, close).is_some_and(|inner| !inner.is_empty()))
}

/// Whether a text is a word, whatever its case and its `_`, `-` and blanks.
fn is_same_word(text: &str, word: &str) -> bool {
    let letters = text.bytes().filter(|byte| !b"_- ".contains(byte));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(word.bytes())
}

/// `ENC[AES256_GCM,data:…]` of sops, `ENC[…]` of eyaml, `ENC(…)` of Jasypt. A password may begin so, but hardly ends so
/// too.
fn is_enclosed_ciphertext(text: &str) -> bool {
    let has = |(open, close): (&str, &str)| text.len() > 8 && text.starts_with(open) && text.ends_with(close);
    [("ENC[", "]"), ("ENC(", ")")].into_iter().any(has) || text.starts_with("$ANSIBLE_VAULT;")
}

/// Whether a value in small letters is a name, whatever the punctuation, or a name with a number after it.
fn is_named(small: &str, name: &str) -> bool {
    let letters = |text: &str| {
        let mut kept = Zeroizing::new(String::with_capacity(text.len()));
        kept.extend(text.chars().filter(|letter| letter.is_alphanumeric()));
        kept
    };
    let (value, name) = (letters(small), letters(&name.to_lowercase()));
    let stem = value.trim_end_matches(|letter: char| letter.is_ascii_digit());
    name.len() >= NAME_BYTES_MIN && (value == name || stem == name.as_str())
}

/// Whether a value in small letters is a common password, with signs in place of letters or with a number or
/// punctuation after it: `P@ssw0rd!`, `admin123`.
fn is_common(small: &str) -> bool {
    let stem =
        small.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter.is_ascii_punctuation());
    let letter = |sign: char| match sign {
        '@' | '4' => 'a',
        '$' | '5' => 's',
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '7' => 't',
        other => other,
    };
    let is_read = |text: &str, word: &str| text.chars().map(letter).eq(word.chars());
    COMMON.iter().any(|word| *word == small || *word == stem || is_read(small, word) || is_read(stem, word))
}

/// Digits, also with the punctuation of a date, a time or a telephone number.
fn is_number(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (1..WORD_BYTES_END).contains(&digits)
        && text.bytes().all(|byte| byte.is_ascii_digit() || b" -./:+".contains(&byte))
}

fn is_on_keyboard(small: &str) -> bool {
    let backwards =
        |row: &str| row.as_bytes().windows(small.len()).any(|part| part.iter().rev().eq(small.as_bytes()));
    let in_row = |row: &&str| row.contains(small) || backwards(row);
    small.len() >= WORD_BYTES_MIN && KEYBOARD.iter().any(in_row)
}

/// `db.internal`, `orders-db.example.com`: words and short numbers between dots.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(good)
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains('.')
        && text.split('.').all(label)
        && last.len() > 1
        && last.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// One word of fewer than 16 letters. A word of another alphabet is judged by its letters alone.
fn is_word(text: &str) -> bool {
    if text.is_ascii() {
        let word = text.as_bytes();
        return word.len() >= WORD_BYTES_MIN
            && is_one_case(word)
            && is_wordlike(word, word.len() / BYTES_MIN);
    }
    let rest = || text.chars().skip(1);
    let one_case = !rest().any(char::is_uppercase) || !text.chars().any(char::is_lowercase);
    one_case && text.chars().all(char::is_alphabetic) && text.chars().count() < WORD_BYTES_END
}

/// Whether a text is made of words with short numbers and punctuation: at least one run of four letters that is a word,
/// and no longer run that is none.
fn is_plain(text: &str) -> bool {
    let class = |byte: u8| (byte.is_ascii_alphabetic(), byte.is_ascii_digit());
    // A capital after a small letter begins another word.
    let same = |one: &u8, next: &u8| {
        class(*one) == class(*next) && !(one.is_ascii_lowercase() && next.is_ascii_uppercase())
    };
    let (mut words, mut short, mut numbers) = (0_usize, 0_usize, 0_usize);
    for run in text.as_bytes().chunk_by(same) {
        match run.first() {
            Some(first) if first.is_ascii_digit() => {
                numbers += 1;
                if run.len() > NUMBER_BYTES_MAX {
                    return false;
                }
            }
            Some(first) if first.is_ascii_alphabetic() => {
                if run.len() < WORD_BYTES_MIN {
                    short += 1;
                } else if is_one_case(run) && is_wordlike(run, run.len() / BYTES_MIN) {
                    words += 1;
                } else {
                    return false;
                }
            }
            Some(_) | None => {}
        }
    }
    // Random texts have short runs.
    text.is_ascii() && words > 0 && short <= 2 * words && numbers <= words + 1
}

/// Small letters, capitals, or small letters after one capital.
fn is_one_case(word: &[u8]) -> bool {
    let small = |part: &[u8]| part.iter().all(u8::is_ascii_lowercase);
    let behind = word.get(1..).unwrap_or_default();
    word.iter().all(u8::is_ascii_uppercase)
        || word.first().is_some_and(u8::is_ascii_alphabetic) && small(behind)
}

/// Whether a run of letters may be a word: nearly all of its pairs are those of English, `rare` of them may not be.
fn is_wordlike(run: &[u8], rare: usize) -> bool {
    let vowel = |byte: &u8| b"aeiouy".contains(&byte.to_ascii_lowercase());
    let is_rare = |pair: &&[u8]| match pair {
        [one, next] => !follows(one.to_ascii_lowercase(), next.to_ascii_lowercase()),
        _ => false,
    };
    run.len() < WORD_BYTES_END
        && run.iter().all(u8::is_ascii_alphabetic)
        && run.split(vowel).all(|consonants| consonants.len() <= CONSONANTS_MAX)
        && run.windows(2).filter(is_rare).count() <= rare
}

/// Whether one small letter follows another in English.
fn follows(one: u8, next: u8) -> bool {
    let row = one.checked_sub(b'a').and_then(|number| PAIRS.get(usize::from(number)));
    row.is_some_and(|row| row.as_bytes().contains(&next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_a_weak_value_is_told() {
        let names = ["orders-db", "ada"];
        for (value, why) in [
            ("${DB_PASSWORD}", Weakness::Placeholder),
            ("<your password>", Weakness::Placeholder),
            ("{{ password }}", Weakness::Placeholder),
            ("********", Weakness::Placeholder),
            ("[redacted:orders-db]", Weakness::Placeholder),
            ("REPLACE_ME", Weakness::Placeholder),
            ("replace-me", Weakness::Placeholder),
            ("ReplaceMe", Weakness::Placeholder),
            ("ENC[AES256_GCM,data:kD93hfQ0plm4,iv:x,tag:y,type:str]", Weakness::Ciphertext),
            ("ENC(kD93hfQ0plm4XyT7)", Weakness::Ciphertext),
            ("$ANSIBLE_VAULT;1.1;AES256", Weakness::Ciphertext),
            ("orders-db", Weakness::Name),
            ("OrdersDB2024", Weakness::Name),
            ("ada", Weakness::Name),
            ("changeme", Weakness::Default),
            ("P@ssw0rd!", Weakness::Default),
            ("admin123", Weakness::Default),
            ("postgres", Weakness::Default),
            ("my-example-key", Weakness::Default),
            ("12345", Weakness::Number),
            ("2024-01-31", Weakness::Number),
            ("004915112345678", Weakness::Number),
            ("aaaaaaaa", Weakness::Pattern),
            ("asdfghjk", Weakness::Pattern),
            ("1q2w3e4r", Weakness::Pattern),
            ("DB_CREDENTIALS", Weakness::Reference),
            ("env.SECRET_TOKEN", Weakness::Reference),
            ("db.internal.corp", Weakness::Address),
            ("/run/secrets/token", Weakness::Address),
            ("improve", Weakness::Word),
            ("optimize", Weakness::Word),
            ("Workflow", Weakness::Word),
            ("WIDGET", Weakness::Word),
            ("überraschung", Weakness::Word),
            ("summer2024", Weakness::Words),
            ("Welcome-Home1!", Weakness::Words),
            ("read-only", Weakness::Words),
            ("9f8-3a7", Weakness::Short),
        ] {
            assert_eq!(weakness(value.as_bytes(), &names), Some(why), "{value}");
        }
    }

    #[test]
    fn a_random_value_and_a_long_phrase_are_not_weak() {
        for value in [
            "kD93hfQ0plm4",
            "qhzjxkvbnmwp",
            "a3f81c09be77d214",
            "Tr0ub4dor&3xK",
            "correct horse battery staple",
            "acme_sk_5f1a9bcde23f4456abcdef01",
            "$9kDf93hfQ0plm4",
            "ENC[kD93hfQ0plm4Xy7T",
            "/Kx8mQ2vR7tZ1nB5cY9wLpD4sG6hJ3fA==",
            "8271640395527163840127",
        ] {
            assert_eq!(weakness(value.as_bytes(), &["orders-db"]), None, "{value}");
        }
    }

    /// A value that is wrongly taken for a word passes where letters are beside it.
    #[test]
    fn only_words_are_searched_for_as_whole_ones() {
        for value in [
            "optimize",
            "Optimize",
            "OPTIMIZE",
            "improvement",
            "administrator",
            "postgres",
            "football",
            "read-only",
            "top_secret",
        ] {
            assert!(occurs_in_words(value.as_bytes()), "{value}");
        }
        for value in [
            "improve",
            "qhzjxkvb",
            "qhzjxkvbnmwpertq",
            "optimizeoptimize",
            "oPtimize",
            "abcabcabc",
            "optimize1",
            "summer2024",
            "kD93hfQ0plm4",
            "a3f81c09be77",
            "-optimize",
            "optimiz\u{e9}",
            "20240131",
            "1234567890123456",
        ] {
            assert!(!occurs_in_words(value.as_bytes()), "{value}");
        }
    }

    /// Of random small letters hardly any look like a word; of 16 none.
    #[test]
    fn random_letters_are_hardly_ever_words() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut letters = |length: usize| -> Vec<u8> {
            let mut letter = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                b'a' + u8::try_from((state >> 33) % 26).unwrap()
            };
            (0..length).map(|_| letter()).collect()
        };
        for (length, most) in [(8, 300), (9, 200), (10, 400), (12, 200), (15, 100), (16, 0)] {
            let words = (0..10_000).filter(|_| occurs_in_words(&letters(length))).count();
            assert!(words <= most, "{words} of 10,000 with {length} letters");
        }
    }
}
