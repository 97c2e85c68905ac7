use std::ops::Range;

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

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
        || byte.is_ascii_whitespace()
        || byte == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stands_between_the_colon_and_the_last_at() {
        let shown = |text: &str| -> Vec<String> {
            passwords_in(text.as_bytes()).into_iter().map(|span| text[span].to_owned()).collect()
        };
        assert_eq!(shown("postgres://app:p%40ss@db:5432/x"), ["p%40ss"]);
        assert_eq!(shown("a=redis://:only@h b=amqp://u:two@h"), ["only", "two"]);
        assert_eq!(shown("mysql://u:a@b@h"), ["a@b"]);
        assert!(shown("https://user@host/a:b@c").is_empty());
        assert!(shown("https://host:443/").is_empty());
    }
}
