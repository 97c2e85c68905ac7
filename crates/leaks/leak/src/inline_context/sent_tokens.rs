use std::ops::Range;

use crate::candidate::{CandidateSource, NamedValue, VALUE_BYTES_MAX};
use crate::inline_context::words::is_quote;

/// Schemes before a token that is sent, in lower case, and the shortest token that says by itself that it is one,
/// bytes.
const SCHEMES: [(&[u8], usize); 4] =
    [(b"bearer ", TOKEN_BYTES_MIN), (b"basic ", TOKEN_BYTES_MIN), (b"token ", 20), (b"apikey ", 20)];

/// The shortest of these, bytes.
const TOKEN_BYTES_MIN: usize = 12;

/// The names of members for a header's value, in lower case.
const OF_VALUES: [&[u8]; 2] = [b"value", b"authorization"];

/// A whole quoted text of a scheme and a token, `"value": "Bearer TOKEN"`, and the same without quotes under the name of
/// a header's value. In a sentence other words follow.
pub(crate) fn in_sent(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    for pair in words.windows(2) {
        let [said, sent] = pair else { continue };
        // Most words are shorter.
        let at = said.end;
        if sent.len() < TOKEN_BYTES_MIN || sent.start != at + 1 || line.get(at) != Some(&b' ') {
            continue;
        }
        let before = line.get(..sent.start).unwrap_or_default();
        let is = |scheme: &[u8]| {
            let from = before.len().checked_sub(scheme.len());
            from.and_then(|from| before.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(scheme))
        };
        let Some((scheme, least)) = SCHEMES.iter().find(|(scheme, _)| is(scheme)) else { continue };
        let rest = line.get(sent.start..).unwrap_or_default();
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let length = rest.iter().take(VALUE_BYTES_MAX + 1).take_while(|byte| good(byte)).count();
        // `Bearer realm=…` is a challenge. Only padding is at the end.
        let token = rest.get(..length).unwrap_or_default();
        let padded = token.iter().skip_while(|byte| **byte != b'=').all(|byte| *byte == b'=');
        let before = before.get(..before.len() - scheme.len()).unwrap_or_default();
        let behind = rest.get(length..).unwrap_or_default();
        let quoted = before.last().is_some_and(|byte| is_quote(*byte)) && behind.first() == before.last();
        let value = quoted || is_value(before) && behind.trim_ascii().is_empty();
        if value && padded && length >= *least {
            found.push(("authorization".to_owned(), sent.start..sent.start + length, CandidateSource::Place));
        }
    }
}

/// `value: `, `- value: `.
fn is_value(before: &[u8]) -> bool {
    let Some(name) = before.trim_ascii().strip_suffix(b":") else { return false };
    let name = name.strip_prefix(b"- ").unwrap_or(name).trim_ascii();
    OF_VALUES.iter().any(|value| name.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inline_context::words::words;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_sent(line.as_bytes(), &words(line.as_bytes()), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_whole_text_of_a_scheme_and_a_token_is_one() {
        for line in [
            "  \"value\": \"Bearer kD93hfQ0plm4\",",
            "  value: Bearer kD93hfQ0plm4",
            "- value: bearer kD93hfQ0plm4\n",
            "const h = 'Bearer kD93hfQ0plm4';",
            "send(`Bearer kD93hfQ0plm4`)",
        ] {
            assert_eq!(shown(line), ["kD93hfQ0plm4"], "{line}");
            assert!(crate::secret_names::prefilter::may_name_a_secret(line.as_bytes()), "{line}");
        }
        let token = "kD93hfQ0plm4kD93hfQ0plm4";
        assert_eq!(shown(&format!("\"value\": \"ApiKey {token}\"")), [token]);
        for line in [
            "log(\"Bearer kD93hfQ0plm4 is missing\")",
            "\"Token expired2024x\"",
            "the Bearer kD93hfQ0plm4",
            "\"Bearer kD93\"",
            "\"Bearer realm=kD93hfQ0plm4\"",
            "\"Bearer ${kD93hfQ0plm4}\"",
            "note: Bearer kD93hfQ0plm4",
            "value: Bearer kD93hfQ0plm4 and more",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
