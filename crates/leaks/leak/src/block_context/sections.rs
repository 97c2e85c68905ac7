use std::ops::Range;

use crate::block_context::lines::{line_before, setting};
use crate::candidate::{CandidateSource, NamedValue};
use crate::names_a_secret;

/// Settings whose names need the previous line: `"Jwt": {` and `"Key": "value"`, `[jwt]` and `key = value`; `PWD =
/// value` after `UID = app`, because `PWD` alone is the folder of a shell.
pub(crate) fn in_sections(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let Some((name, value)) = setting(text, line) else { return };
    let name = text.get(name).unwrap_or_default();
    let (key, pwd) = (name.eq_ignore_ascii_case(b"key"), name.eq_ignore_ascii_case(b"pwd"));
    let Some(above) = line_before(text, line.start).filter(|_| key || pwd) else { return };
    if key {
        let whole = section(text, line, &above).map(|outer| format!("{outer}_key"));
        found.extend(
            whole.filter(|whole| names_a_secret(whole)).map(|whole| (whole, value, CandidateSource::Name)),
        );
    } else {
        let user = setting(text, &above).and_then(|(name, _)| text.get(name)).unwrap_or_default();
        let users = [b"uid".as_slice(), b"user", b"username"];
        if users.iter().any(|name| user.eq_ignore_ascii_case(name)) {
            found.push(("password".to_owned(), value, CandidateSource::Name));
        }
    }
}

/// The name of the section that `above` opens, if `line` is in it: more indented, or after a name in brackets.
fn section(text: &[u8], line: &Range<usize>, above: &Range<usize>) -> Option<String> {
    let raw = text.get(above.clone())?;
    let blanks = |raw: &[u8]| raw.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let named = raw.trim_ascii();
    let inner = named.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    if inner.is_none() && blanks(raw) >= blanks(text.get(line.clone())?) {
        return None;
    }
    let inner = inner.unwrap_or_else(|| {
        let opens = named.strip_suffix(b"{").unwrap_or(named).trim_ascii_end();
        opens.strip_suffix(b":").unwrap_or(opens).trim_ascii()
    });
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let bare = inner.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(inner);
    bare.iter().all(good).then(|| String::from_utf8_lossy(bare).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_context::tests::by_line;

    fn shown(text: &str) -> Vec<(String, &str)> {
        by_line(text, in_sections)
    }

    #[test]
    fn a_key_is_what_its_section_says() {
        for (text, name) in [
            ("{\n  \"Jwt\": {\n    \"Key\": \"kD93hfQ0plm4\"\n  }\n}\n", "Jwt_key"),
            ("[encryption]\nkey = kD93hfQ0plm4\n", "encryption_key"),
            ("api:\n  key: kD93hfQ0plm4\n", "api_key"),
            ("[acme]\nUID = app\nPWD = kD93hfQ0plm4\n", "password"),
        ] {
            assert_eq!(shown(text), [(name.to_owned(), "kD93hfQ0plm4")], "{text}");
        }
        for text in [
            "sort:\n  key: kD93hfQ0plm4\n",
            "api:\nkey: kD93hfQ0plm4\n",
            "api:\n  x:\n    key: kD93hfQ0plm4\n",
            "[api]\n\n[sort]\nkey = kD93hfQ0plm4\n",
            "HOME=/root\nPWD=kD93hfQ0plm4\n",
        ] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }
}
