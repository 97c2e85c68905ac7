use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

use crate::byte_search::addresses;
use crate::candidate::VALUE_BYTES_MAX;

/// Words before a token in a request header, and before a password in a connection string: `Server=db;User
/// Id=app;Password=HERE;`.
pub(crate) const BEFORE: [&str; 12] = [
    "bearer ",
    "basic ",
    "token ",
    "apikey ",
    "api-token ",
    "password=",
    "pwd=",
    "accountkey=",
    "sharedaccesskey=",
    "accesskey=",
    "secretkey=",
    "secret=",
];

/// How far before its scheme the name of a header is searched, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The passwords in connection URLs: `postgres://user:HERE@host/db`. Not decoded.
pub fn passwords_in(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for at in addresses(text) {
        let start = at + 3;
        let authority = text.get(start..).unwrap_or_default();
        let end = authority.iter().position(|byte| ends_authority(*byte)).unwrap_or(authority.len());
        let login = authority.get(..end).unwrap_or_default();
        let Some(sign) = login.iter().rposition(|byte| *byte == b'@') else { continue };
        let Some(colon) = login.iter().take(sign).position(|byte| *byte == b':') else { continue };
        if colon + 1 < sign {
            found.push(start + colon + 1..start + sign);
        }
    }
    found
}

/// The tokens after a scheme, `Authorization: Bearer HERE`, and the passwords in connection strings. Not decoded.
pub fn tokens_in(text: &[u8]) -> Vec<Range<usize>> {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let words = WORDS.get_or_init(|| AhoCorasick::builder().ascii_case_insensitive(true).build(BEFORE).ok());
    let Some(words) = words else { return Vec::new() };
    let place = |word: aho_corasick::Match| {
        let before = text.get(..word.start())?;
        let part = text.get(word.end() - 1) == Some(&b'=');
        let good = if part { before.last() == Some(&b';') } else { begins_a_header(before) };
        let other = if part { other_quote(before) } else { None };
        let ends = |byte: u8| match part {
            true => ends_part(byte) && Some(byte) != other,
            false => ends_token(byte),
        };
        let rest = text.get(word.end()..).filter(|_| good)?;
        // In ODBC a value with punctuation is in braces. A name in braces is a variable.
        if let Some(inner) = rest.strip_prefix(b"{").filter(|_| part) {
            let near = inner.get(..inner.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
            let length = near.iter().position(|byte| matches!(byte, b'}' | b'\n'))?;
            let mark = |byte: &u8| {
                byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && !b"_.()[]'\"{$".contains(byte)
            };
            let marked = inner.get(..length)?.iter().any(mark);
            if marked {
                return Some(word.end() + 1..word.end() + 1 + length);
            }
        }
        let length = rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        // `Basic decoding` begins a sentence.
        let said = !part && rest.get(..length)?.iter().all(u8::is_ascii_lowercase);
        (length > 0 && !said).then(|| word.end()..word.end() + length)
    };
    words.find_iter(text).filter_map(place).collect()
}

/// The quote that may stand within the string around a position: the one that did not open it.
fn other_quote(before: &[u8]) -> Option<u8> {
    let near = before.get(before.len().saturating_sub(VALUE_BYTES_MAX)..).unwrap_or_default();
    let line = memchr::memrchr(b'\n', near).map_or(0, |last| last + 1);
    let near = near.get(line..).unwrap_or_default();
    let open = |quote: u8| memchr::memchr_iter(quote, near).count() % 2 == 1;
    match (open(b'"'), open(b'\'')) {
        (true, false) => Some(b'\''),
        (false, true) => Some(b'"'),
        _ => None,
    }
}

/// Whether a scheme is the value of a header, or stands alone.
fn begins_a_header(before: &[u8]) -> bool {
    let opens = before.last().is_none_or(|byte| matches!(byte, b':' | b'"' | b'\'' | b'=' | b' '));
    let near = before.get(before.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or_default();
    let named = near.windows(13).any(|part| part.eq_ignore_ascii_case(b"authorization"));
    opens && (named || near.iter().all(|byte| !byte.is_ascii_alphanumeric()))
}

fn ends_token(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

fn ends_part(byte: u8) -> bool {
    matches!(byte, b';' | b'"' | b'\'' | b'\n' | b'\r' | 0)
}

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
        || byte.is_ascii_whitespace()
        || byte == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, find: fn(&[u8]) -> Vec<Range<usize>>) -> Vec<String> {
        find(text.as_bytes()).into_iter().map(|span| text[span].to_owned()).collect()
    }

    #[test]
    fn a_password_is_between_the_colon_and_the_last_at() {
        let shown = |text| shown(text, passwords_in);
        assert_eq!(shown("postgres://app:p%40ss@db:5432/x"), ["p%40ss"]);
        assert_eq!(shown("a=redis://:only@h b=amqp://u:two@h"), ["only", "two"]);
        assert_eq!(shown("mysql://u:a@b@h"), ["a@b"]);
        assert!(shown("https://user@host/a:b@c").is_empty());
        assert!(shown("https://host:443/").is_empty());
    }

    #[test]
    fn a_token_is_after_its_scheme_and_a_password_after_its_word() {
        let shown = |text| shown(text, tokens_in);
        assert_eq!(shown("curl -H \"Authorization: Bearer abc.d-e_f\" x"), ["abc.d-e_f"]);
        assert_eq!(shown("Bearer abc123"), ["abc123"]);
        assert_eq!(shown("Server=db;User Id=app;Password=p@ss w;Timeout=5"), ["p@ss w"]);
        assert_eq!(shown("DSN=x;PWD={p@ss;w};"), ["p@ss;w"]);
        assert_eq!(shown("c = \"Host=db;Password=p'ss;X=1\""), ["p'ss"]);
        assert_eq!(shown("c = 'Host=db;Password=p\"ss' + x"), ["p\"ss"]);
        assert_eq!(shown("c = \"Host=db;Password=p\" + 'x'"), ["p"]);
        assert_eq!(shown("DSN=x;PWD={name};"), ["{name}"]);
        assert!(shown("the bearer token is sent").is_empty());
        assert!(shown("xPassword=abc").is_empty());
    }
}
