use std::ops::Range;

/// Words before a password in a connection string of parts: `Server=db;User Id=app;Password=HERE;`.
const PARTS: [&str; 6] = ["password", "pwd", "accountkey", "sharedaccesskey", "accesskey", "secretkey"];

/// Words before a token in the line that is sent to a server.
const SCHEMES: [&str; 3] = ["bearer ", "token ", "apikey "];

/// How far before its scheme the name of a header is looked for, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Where passwords stand in connection strings: `postgres://user:HERE@host/db`. As they are written there, so percent-encoded
/// where the value needs it.
pub fn passwords_in(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.windows(3).position(|part| part == b"://")) {
        let start = from + at + 3;
        from = start;
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

/// Where tokens stand behind their scheme, `Authorization: Bearer HERE`, and passwords in connection strings of parts. As they
/// are written there.
pub fn tokens_in(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let small = text.to_ascii_lowercase();
    for scheme in SCHEMES {
        for start in behind(&small, scheme.as_bytes()) {
            // The scheme is what the value of a header begins with.
            let before = small.get(..start - scheme.len()).unwrap_or_default();
            let opens = before.last().is_none_or(|byte| matches!(byte, b':' | b'"' | b'\'' | b'=' | b' '));
            let near = before.get(before.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or_default();
            let named = near.windows(13).any(|part| part == b"authorization")
                || near.iter().all(|byte| !byte.is_ascii_alphanumeric());
            let rest = text.get(start..).unwrap_or_default();
            let length = rest.iter().position(|byte| !in_token(*byte)).unwrap_or(rest.len());
            if opens && named && length > 0 {
                found.push(start..start + length);
            }
        }
    }
    for word in PARTS {
        for start in behind(&small, format!("{word}=").as_bytes()) {
            let before = small.get(..start - word.len() - 1).unwrap_or_default();
            let rest = text.get(start..).unwrap_or_default();
            let length = rest.iter().position(|byte| ends_part(*byte)).unwrap_or(rest.len());
            if before.last() == Some(&b';') && length > 0 {
                found.push(start..start + length);
            }
        }
    }
    found
}

/// The places behind each occurrence.
fn behind(text: &[u8], word: &[u8]) -> Vec<usize> {
    let windows = text.windows(word.len()).enumerate();
    windows.filter(|(_, part)| *part == word).map(|(at, _)| at + word.len()).collect()
}

fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
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
    fn a_password_stands_between_the_colon_and_the_last_at() {
        let shown = |text| shown(text, passwords_in);
        assert_eq!(shown("postgres://app:p%40ss@db:5432/x"), ["p%40ss"]);
        assert_eq!(shown("a=redis://:only@h b=amqp://u:two@h"), ["only", "two"]);
        assert_eq!(shown("mysql://u:a@b@h"), ["a@b"]);
        assert!(shown("https://user@host/a:b@c").is_empty());
        assert!(shown("https://host:443/").is_empty());
    }

    #[test]
    fn a_token_stands_behind_its_scheme_and_a_password_behind_its_word() {
        let shown = |text| shown(text, tokens_in);
        assert_eq!(shown("curl -H \"Authorization: Bearer abc.d-e_f\" x"), ["abc.d-e_f"]);
        assert_eq!(shown("Bearer abc123"), ["abc123"]);
        assert_eq!(shown("Server=db;User Id=app;Password=p@ss w;Timeout=5"), ["p@ss w"]);
        assert!(shown("the bearer token is sent").is_empty());
        assert!(shown("xPassword=abc").is_empty());
    }
}
