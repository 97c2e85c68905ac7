use std::ops::Range;

use crate::allowlist::is_distinct;
use crate::byte_search::places;
use crate::candidate::{Candidate, CandidateSource, VALUE_BYTES_MAX};
use crate::ciphertext::is_below_ciphertext;
use crate::inline_context::base64_login::{decoded_bytes, password_of};
use crate::inline_context::marked_lines::{is_marks, without_operator};
use crate::secret_names::{names_a_password, names_a_request};

/// The longest word of a language, bytes.
const WORD_BYTES_MAX: usize = 16;

/// The most digits of a number in a name, such as a year.
const NUMBER_BYTES_MAX: usize = 4;

/// The fewest words of a passphrase.
const PHRASE_WORDS_MIN: usize = 4;

/// The shortest value that can look random, bytes.
const RANDOM_BYTES_MIN: usize = 12;

/// The shortest run of letters and digits of which a key may be made, bytes.
const KEY_BYTES_MIN: usize = 16;

/// The digits in the parts of a UUID.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];

/// The kind of text around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Settings: the text after a name is its value.
    Settings,
    /// A program, or unknown: text without quotes is an identifier.
    Program,
}

impl Candidate<'_> {
    /// Whether a value without a rule is likely a secret. Programs use the names of secrets for labels, fields and
    /// variables far more often than for secrets.
    pub fn is_likely(&self, text: &[u8], within: TextKind) -> bool {
        let Some(value) = text.get(self.span.clone()) else { return false };
        // What was decoded has been judged in its own text.
        if self.rule.is_some() || self.decoded.is_some() {
            return true;
        }
        let written = value.len() <= VALUE_BYTES_MAX && value.iter().all(u8::is_ascii_graphic);
        // People choose words as passwords; programs use words as the names of tokens.
        let chosen = self.by == CandidateSource::Place || self.name.as_deref().is_some_and(names_a_password);
        let phrase = chosen && is_phrase(value);
        let words = match within {
            TextKind::Settings => looks_like_name(value),
            TextKind::Program => {
                is_made_of_words(value)
                    && !(chosen && (is_password(value) || self.is_member(text) && is_numbered(value)))
                    || !chosen && self.by == CandidateSource::Name && is_type(value)
            }
        };
        let told = match (self.by, within) {
            (CandidateSource::Form | CandidateSource::Place, _)
            | (CandidateSource::Name, TextKind::Settings) => true,
            (CandidateSource::Name, TextKind::Program) => {
                let bare = value.iter().all(|byte| !b"()[]{},".contains(byte));
                let request = is_uuid(value) && self.name.as_deref().is_some_and(names_a_request);
                is_quoted(text, &self.span) && !request
                    || !is_uuid(value) && is_random(value)
                    || bare && !request && self.is_set(text)
            }
        };
        let sent = self.by != CandidateSource::Place || is_meant(text, &self.span);
        written
            && told
            && sent
            && !is_code(value, is_quoted(text, &self.span))
            && (phrase || is_distinct(value) && !words)
            && !is_below_ciphertext(text, &self.span)
    }

    /// Whether a value is a member of an object in JSON, with quotes around its name too: programs that write labels
    /// and fields leave them out more often.
    fn is_member(&self, text: &[u8]) -> bool {
        let before = text.get(..self.span.start).and_then(|before| before.strip_suffix(b"\""));
        let before = before.and_then(|before| before.trim_ascii_end().strip_suffix(b"\":"));
        let name = self.name.as_deref().unwrap_or_default();
        before.is_some_and(|before| before.ends_with(name.as_bytes()) && !name.is_empty())
    }

    /// Whether a value is assigned as in a shell or a makefile: `DB_PASSWORD=value`, `API_TOKEN ?= value`, `--api-key
    /// value`; under other names only a password, `password=value`. Programs put a space before the sign, or write an
    /// argument.
    fn is_set(&self, text: &[u8]) -> bool {
        let Some(name) = &self.name else { return false };
        let value = text.get(self.span.clone()).unwrap_or_default();
        let before = text.get(..self.span.start).unwrap_or_default();
        let before = before.strip_suffix(b"'").or_else(|| before.strip_suffix(b"\"")).unwrap_or(before);
        let constant =
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let password = names_a_password(name) && is_password(value);
        if let Some(before) = before.strip_suffix(b" ").and_then(|rest| rest.strip_suffix(name.as_bytes())) {
            return before.ends_with(b"--");
        }
        let Some((sign, prefix)) = assigned(before, name) else { return false };
        match sign {
            Sign::Equals => prefix.ends_with(b"--") || constant && !is_query(prefix) || password,
            // In Pascal the same sign assigns, and a semicolon ends the statement.
            Sign::Operator => constant && text.get(self.span.end) != Some(&b';'),
            // A type may follow a colon, but no type has punctuation.
            Sign::Colon => password && value.iter().any(|byte| b"!@#$%^&*?+~=".contains(byte)),
        }
    }
}

/// The sign between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// `NAME=value`.
    Equals,
    /// `NAME ?= value`, `NAME := value`.
    Operator,
    /// `name: value`.
    Colon,
}

/// The sign between a name and the end of a text, and the line's text before the name.
fn assigned<'t>(before: &'t [u8], name: &str) -> Option<(Sign, &'t [u8])> {
    let bare = before.trim_ascii_end();
    let (sign, rest) = match bare {
        [rest @ .., b':'] if bare.len() < before.len() => (Sign::Colon, rest),
        [rest @ .., b'='] => match without_operator(rest) {
            named if named.len() < rest.len() => (Sign::Operator, named.trim_ascii_end()),
            _ if bare.len() == before.len() => (Sign::Equals, rest),
            _ => return None,
        },
        _ => return None,
    };
    let prefix = rest.strip_suffix(name.as_bytes())?;
    let near = prefix.get(prefix.len().saturating_sub(PREFIX_BYTES_MAX)..).unwrap_or_default();
    let line = memchr::memrchr2(b'\n', 0, near).map_or(0, |last| last + 1);
    let prefix = near.get(line..)?;
    (is_marks(prefix) || is_query(prefix) || prefix.ends_with(b"--")).then_some((sign, prefix))
}

/// Whether a name is that of a parameter: `?password=value`, `&password=value`.
fn is_query(prefix: &[u8]) -> bool {
    matches!(prefix.last(), Some(b'?' | b'&' | b';'))
}

/// How far before a name the start of its line is searched, bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// In quotes, also escaped ones in a string, or as the content of an element.
fn is_quoted(text: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).and_then(|at| text.get(at));
    let behind = text.get(span.end..).unwrap_or_default();
    let quote = before.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let escapes = behind.iter().take_while(|byte| **byte == b'\\').count();
    quote.is_some() && behind.get(escapes) == quote || before == Some(&b'>') && behind.starts_with(b"</")
}

/// Hosts that are reserved for documentation (RFC 2606).
const DOCUMENTED: [&[u8]; 6] =
    [b"example.com", b"example.org", b"example.net", b"example", b"invalid", b"faketld"];

/// The longest host, bytes.
const HOST_BYTES_MAX: usize = 256;

/// How far from a login in a command its address is searched, bytes on either side.
const COMMAND_BYTES_MAX: usize = 1_024;

/// Whether a login gives access: a base64 login by its password; one before a real host, or in a command that sends
/// it to one. Percent-encoded text is judged decoded.
fn is_meant(text: &[u8], span: &Range<usize>) -> bool {
    let value = text.get(span.clone()).unwrap_or_default();
    let before = text.get(..span.start).unwrap_or_default();
    let scheme = before.get(before.len().saturating_sub(BASIC.len())..).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(BASIC) {
        return password_of(value).is_some_and(|password| is_distinct(&password));
    }
    let Some(host) = text.get(span.end..).and_then(|rest| rest.strip_prefix(b"@")) else {
        return !before.ends_with(b":") || !is_sent_to_nobody(text, span);
    };
    // In Go the host is in brackets after the protocol.
    let host = host.strip_prefix(b"tcp(").unwrap_or(host);
    let bytes = decoded_bytes(value).is_some_and(|bytes| bytes >= DECODED_BYTES_MIN);
    bytes && !is_documented(host)
}

/// Whether a text begins with a host that is reserved for documentation.
fn is_documented(text: &[u8]) -> bool {
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let host: Vec<u8> = text.iter().take(HOST_BYTES_MAX).copied().take_while(name).collect();
    let host = host.to_ascii_lowercase();
    let ends =
        |end: &&[u8]| host.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."));
    DOCUMENTED.iter().any(ends)
}

/// Whether the line of a login has addresses, and all are reserved for documentation: `curl -u app:value
/// https://example.com`.
fn is_sent_to_nobody(text: &[u8], span: &Range<usize>) -> bool {
    let ends = |byte: &u8| matches!(byte, b'\n' | 0);
    let before = text.get(span.start.saturating_sub(COMMAND_BYTES_MAX)..span.start).unwrap_or_default();
    let from = before.iter().rposition(ends).map_or(0, |last| last + 1);
    let upto = text.len().min(span.end.saturating_add(COMMAND_BYTES_MAX));
    let behind = text.get(span.end..upto).unwrap_or_default();
    let behind = behind.split(ends).next().unwrap_or_default();
    let before = before.get(from..).unwrap_or_default();
    // A comment sends nothing. The target of a variable or a pipe is unknown.
    let behind = behind.get(..places(behind, b" #").next().unwrap_or(behind.len())).unwrap_or_default();
    let parts = [before, behind];
    if parts.iter().any(|part| part.iter().any(|byte| matches!(byte, b'$' | b'|'))) {
        return false;
    }
    let mut hosts = parts.into_iter().flat_map(|part| {
        places(part, b"://").map(move |at| is_documented(part.get(at + 3..).unwrap_or_default()))
    });
    hosts.next() == Some(true) && hosts.all(|documented| documented)
}

/// The scheme of a base64 login.
const BASIC: &[u8] = b"basic ";

/// The shortest decoded password that can be distinguished from a chance match, bytes.
const DECODED_BYTES_MIN: usize = 8;

/// Words in the names of secrets and related settings; chosen passwords do not contain them.
const OF_NAMES: [&str; 14] = [
    "pass", "pwd", "secret", "token", "key", "cred", "auth", "user", "field", "label", "name", "hash",
    "input", "value",
];

fn is_of_names(value: &[u8]) -> bool {
    let small = value.to_ascii_lowercase();
    OF_NAMES.iter().any(|word| places(&small, word.as_bytes()).next().is_some())
}

/// A chosen password: words with a number, and a capital or a punctuation mark that no identifier has.
fn is_password(value: &[u8]) -> bool {
    let mark = |byte: &u8| b"!@#$%^&*?+~=".contains(byte);
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || mark(byte) || matches!(byte, b'_' | b'-');
    let has = |kind: fn(&u8) -> bool| value.iter().any(kind);
    value.iter().all(good)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && (has(u8::is_ascii_uppercase) || value.iter().any(mark))
        && !is_of_names(value)
}

/// A password in a list of several: long enough, or with a capital or punctuation.
pub(crate) fn is_strong_password(value: &[u8]) -> bool {
    value.len() >= RANDOM_BYTES_MIN && is_password(value) || is_random(value)
}

/// A word and a number of at least two digits: `hunter22`.
fn is_numbered(value: &[u8]) -> bool {
    let letters = value.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let digits = value.iter().skip(letters).filter(|byte| byte.is_ascii_digit()).count();
    letters >= NUMBER_BYTES_MAX && digits >= 2 && letters + digits == value.len() && !is_of_names(value)
}

/// A passphrase: four words or more.
fn is_phrase(value: &[u8]) -> bool {
    let words: Vec<&[u8]> = value.split(|byte| matches!(byte, b'-' | b'_' | b'.')).collect();
    let word = |word: &&[u8]| (3..=8).contains(&word.len()) && word.iter().all(u8::is_ascii_lowercase);
    words.len() >= PHRASE_WORDS_MIN && words.iter().all(word) && !is_of_names(value)
}

/// A run of letters and digits without the structure of a name: runs of one kind are shorter than three on average,
/// with several numbers; or it is long, with many numbers. Punctuation separates names of files, machines and
/// versions into short runs.
fn is_random(value: &[u8]) -> bool {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic());
    // A capital belongs to the word after it.
    let parts = |pair: &&[u8]| match pair {
        [one, two] => kind(*one) != kind(*two) || two.is_ascii_uppercase() && !one.is_ascii_uppercase(),
        _ => false,
    };
    let random = |run: &[u8]| {
        let numbers = run.split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty()).count();
        let parts = run.windows(2).filter(parts).count() + 1;
        run.len() >= RANDOM_BYTES_MIN && numbers >= 2 && run.len() < 3 * parts
            || run.len() >= 2 * RANDOM_BYTES_MIN && numbers >= 4
    };
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    value.iter().all(good) && value.split(|byte| !byte.is_ascii_alphanumeric()).any(random)
}

/// A value that looks random, under a name that only hints at a secret: as above; or with a long run of capitals, small
/// letters and digits that are not words, or of hexadecimal digits.
pub(crate) fn is_random_key(value: &[u8]) -> bool {
    let random = |run: &[u8]| {
        let has = |kind: fn(&u8) -> bool| run.iter().any(kind);
        let (digits, small, capitals) =
            (has(u8::is_ascii_digit), has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase));
        let hex = run.iter().all(u8::is_ascii_hexdigit) && digits && (small || capitals);
        run.len() >= KEY_BYTES_MIN && (hex || digits && small && capitals && !is_made_of_words(run))
    };
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let runs = || value.split(|byte| !byte.is_ascii_alphanumeric());
    value.iter().all(good) && !is_uuid(value) && (is_random(value) || runs().any(random))
}

/// An identifier of a request or an object. A secret that is a UUID is found in quotes or in settings.
pub(crate) fn is_uuid(value: &[u8]) -> bool {
    let mut parts = value
        .split(|byte| *byte == b'-')
        .map(|part| part.iter().all(u8::is_ascii_hexdigit).then_some(part.len()));
    UUID_PARTS.iter().all(|length| parts.next() == Some(Some(*length))) && parts.next().is_none()
}

/// The name of a type, as Python writes in quotes too: `_RSAPrivateKey`, `MyApiKey2Type`. Contains a word of secrets'
/// names.
fn is_type(value: &[u8]) -> bool {
    let name = value.strip_prefix(b"_").unwrap_or(value);
    let begins =
        |pair: &&[u8]| matches!(pair, [one, two] if !one.is_ascii_uppercase() && two.is_ascii_uppercase());
    let words = name.windows(2).filter(begins).count() + 1;
    let letters = name.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    name.iter().all(u8::is_ascii_alphanumeric)
        && name.first().is_some_and(u8::is_ascii_uppercase)
        && name.iter().any(u8::is_ascii_lowercase)
        && letters >= 3 * words
        && is_of_names(name)
        && !is_random(name)
}

/// Only letters, in words: `response.access_token`, `PrimaryApiKey`.
fn looks_like_name(value: &[u8]) -> bool {
    let letters = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/');
    value.iter().all(letters) && is_made_of_words(value)
}

/// Whether a value has only words and numbers after them.
pub(crate) fn is_made_of_words(value: &[u8]) -> bool {
    value.split(|byte| !byte.is_ascii_alphanumeric()).all(|run| {
        let letters = run.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, number) = run.split_at_checked(letters).unwrap_or((run, &[]));
        number.iter().all(u8::is_ascii_digit) && number.len() <= NUMBER_BYTES_MAX && is_words(word)
    })
}

/// `token`, `Token`, `TOKEN`, `accessToken`.
fn is_words(letters: &[u8]) -> bool {
    let one_case = letters.iter().all(u8::is_ascii_uppercase) || letters.iter().all(u8::is_ascii_lowercase);
    if one_case {
        return letters.len() <= WORD_BYTES_MAX;
    }
    // A capital begins a word: in random letters every second one is a capital.
    let capitals = letters.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let words = letters.split(u8::is_ascii_uppercase);
    letters.len() >= 3 * capitals && words.clone().all(|word| word.len() < WORD_BYTES_MAX)
}

/// Text that a program computes or a template fills in. In quotes a bracket that nothing closes is punctuation.
fn is_code(value: &[u8], quoted: bool) -> bool {
    let bracket =
        |open: u8, close: u8| value.first() == Some(&open) && (!quoted || value.last() == Some(&close));
    let computed = |two: &[u8]| {
        matches!(
            two,
            b"${" | b"{{" | b"%s" | b"()" | b"->" | b"=>" | b"::" | b"</" | b"{}" | b"\\n" | b"&&" | b"||"
        )
    };
    value.windows(2).any(computed)
        || value.starts_with(b"\\u")
        || value.starts_with(b"\\U")
        || bracket(b'(', b')')
        || bracket(b'[', b']')
        || value.starts_with(b"{") && value.ends_with(b"}")
        || value.starts_with(b"<") && value.ends_with(b">")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rules, in_anything};

    fn likely(line: &str, within: TextKind) -> Vec<&str> {
        let rules = Rules::shipped().unwrap();
        let all = in_anything(line.as_bytes(), rules).into_iter();
        all.filter(|one| one.is_likely(line.as_bytes(), within)).map(|one| &line[one.span]).collect()
    }

    #[test]
    fn a_password_in_settings_and_between_quotes_is_likely() {
        for (line, value) in [
            ("DB_PASSWORD=kD93hfQ0plm4\n", "kD93hfQ0plm4"),
            ("password: tr0ub4dor&3\n", "tr0ub4dor&3"),
            ("spring.datasource.password=S0mmer-2024!x\n", "S0mmer-2024!x"),
        ] {
            assert_eq!(likely(line, TextKind::Settings), [value], "{line}");
        }
        for (line, value) in [
            ("+ DB_PASSWORD=kD93hfQ0plm4\n", "kD93hfQ0plm4"),
            ("run --api-key kD93hfQ0plm4 x\n", "kD93hfQ0plm4"),
            ("login failed: password=Copperotter42\n", "Copperotter42"),
            ("api_secret = kD93hfQ0plm4Xy7\n", "kD93hfQ0plm4Xy7"),
            ("'password' => 'River2019!',\n", "River2019!"),
            ("password: \"ember-walnut-river-kettle\"\n", "ember-walnut-river-kettle"),
            ("db = 'mysql://app:Copper_otter42@db/x'\n", "Copper_otter42"),
            ("{\"b\":\"{\\\"password\\\":\\\"Copper_otter42\\\"}\"}\n", "Copper_otter42"),
            ("<password>Copper_otter42</password>\n", "Copper_otter42"),
            ("- name: DB_PASSWORD\n  value: 'Copper_otter42'\n", "Copper_otter42"),
            ("Authorization: Basic YXBwOmtEOTNoZlEwcGxtNA==\n", "YXBwOmtEOTNoZlEwcGxtNA=="),
        ] {
            assert_eq!(likely(line, TextKind::Program), [value], "{line}");
        }
        assert_eq!(likely("api_key = \"8f3kQz71LmP0\"\n", TextKind::Program), ["8f3kQz71LmP0"]);
        let uuid = "8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e";
        for (line, value) in [
            ("+DB_PASSWORD=Kestrel19dock\n", "Kestrel19dock"),
            ("-DB_PASSWORD=Kestrel19dock\n", "Kestrel19dock"),
            ("prod.env:12:DB_PASSWORD=Kestrel19dock\n", "Kestrel19dock"),
            ("API_TOKEN ?= Kestrel19dock\n", "Kestrel19dock"),
            ("API_TOKEN := Kestrel19dock\n", "Kestrel19dock"),
            ("msg password: S0mmer@2024!x\n", "S0mmer@2024!x"),
            ("u = \"user=x&password=qD@AxLggW9&x=1\"\n", "qD@AxLggW9"),
            ("{\"c\": \"secret=8812&password=p@qDAxLggW9\"}\n", "p@qDAxLggW9"),
            ("{\"password\": \"hunter22\"}\n", "hunter22"),
            ("password = \"(kD93!hfQ0\"\n", "(kD93!hfQ0"),
            ("ACME_API_KEY=8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n", uuid),
            ("+ACME_TOKEN=8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n", uuid),
            ("run --api-key 8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n", uuid),
            ("encryptedData:\n    password: \"kD93hfQ0plm4Xy7\"\n", "kD93hfQ0plm4Xy7"),
            ("sealed_box:\n    password: \"Copper_otter42\"\n", "Copper_otter42"),
            ("podman login --username ci --password=Hammerwalnut81 quay.io\n", "Hammerwalnut81"),
        ] {
            assert_eq!(likely(line, TextKind::Program), [value], "{line}");
        }
        for line in [
            "db = 'mysql://app:kD93hfQ0plm4@db/x'\n",
            "db = 'app:kD93hfQ0plm4@tcp(db:3306)/x'\n",
            "curl -u \"app:kD93hfQ0plm4\" https://api.acme.dev/x # as at https://example.com\n",
            "curl -H \"Authorization: Bearer kD93hfQ0plm4\" https://example.com\n",
        ] {
            assert_eq!(likely(line, TextKind::Program), ["kD93hfQ0plm4"], "{line}");
        }
        let typed = "api_key: \"MyKey8f3kQz71LmP0Rv\"\n";
        assert_eq!(likely(typed, TextKind::Program), ["MyKey8f3kQz71LmP0Rv"]);
    }

    #[test]
    fn what_programs_call_so_is_not() {
        for line in [
            "password = get_password(user_of_the_day)\n",
            "self.token = response.access_token_2\n",
            "token: Option<AccessTokenOfUser>,\n",
            "label_password = \"PasswordFieldOfTheForm\"\n",
            "secret = \"my-secret-name-2024\"\n",
            "password: \"{{ vault_password_42 }}\"\n",
            "KEY_PASSWORD = kD93hfQ0plm4.value9\n",
            "const TOKEN_KEY = 'auth.token.v2'\n",
            "connect(user, password=db_password2)\n",
            "connect(user, password=Config2Reader)\n",
            "token = nextPageTokenOf2ndReader\n",
            "PASS: x86-64/avx512f-2-rows-16.d4\n",
            "run --client-token 8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n",
            "secret: 'ember-walnut-river-kettle'\n",
            "password: 'UserPasswordField2'\n",
            "db = 'mysql://app:my%20pass%20word@db/x'\n",
            "db = 'mysql://app:kD93hfQ0plm4@db.example.com/x'\n",
            "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\n",
            "Authorization: Basic kD93hfQ0plm4kD93hfQ0\n",
            "\"ClientToken\": \"8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\"\n",
            "\"hot_pepper\": \"\\U0001f336\\ufe0f\"\n",
            "\"NextLockToken\": \"kD93hfQ0plm4\"\n",
            "    private_key: \"_RSAPrivateKey\",\n",
            "    api_key: \"MyApiKey2Type\",\n",
            "curl -u \"app:kD93hfQ0plm4\" https://example.com/x\n",
            "curl https://api.example.com -u app:kD93hfQ0plm4\n",
            "PASSWORD := Edit1.Text2;\n",
            "token := lexer.Next2\n",
            "    password: Base64String,\n",
            "CLIENT_TOKEN=8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n",
            "token=8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e\n",
            "password: 'hunter22'\n",
            "\"password\": \"userpass22\"\n",
            "encryptedData:\n    password: \"kD93hfQ0plm4Xy7/kD93hfQ0plm4Xy7+kD93hfQ0plm4Xy7/\"\n",
            "password = (kD93hfQ0\n",
            "db = 'app:kD93hfQ0plm4@tcp(db.example.com:3306)/x'\n",
        ] {
            assert!(likely(line, TextKind::Program).is_empty(), "{line}");
        }
        for line in ["password: response.access_token\n", "api_key: PrimaryApiKeyOfTheTeam\n"] {
            assert!(likely(line, TextKind::Settings).is_empty(), "{line}");
        }
    }
}
