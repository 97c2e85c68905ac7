pub(crate) mod argument_lists;
pub(crate) mod json_object;
pub(crate) mod kubernetes;
pub(crate) mod lines;
pub(crate) mod plural_names;
pub(crate) mod ppp_secrets;
pub(crate) mod sections;
pub(crate) mod table;

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::block_context::argument_lists::in_arguments;
use crate::block_context::kubernetes::{KINDS, in_secret};
use crate::block_context::lines::{FAR_BYTES_MAX, bare, line_before, line_from, setting, unmarked, word};
use crate::block_context::plural_names::{PLURALS, in_plurals};
use crate::block_context::ppp_secrets::{PPP_MARKS, in_ppp_secrets};
use crate::block_context::sections::in_sections;
use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::words::is_quote;
use crate::names_a_secret;

/// One of these is in every line that decides about values beyond the next line.
fn far() -> impl Iterator<Item = &'static str> {
    let others = ["kty\"", "kty'", "kty`", VARIABLE, PGPASS_PORT, PGPASS_ANY];
    KINDS.into_iter().chain(PPP_MARKS).chain(PLURALS).chain(DECIDING).chain(others)
}

/// The heads of a diff, whose file decides how its lines are read; and the names of groups of ciphertext.
const DECIDING: [&str; 5] = ["+++ b/", "diff --cc ", "encryptedData", "encrypted_data", "encrypted:\n"];

/// The start of a variable in Terraform.
const VARIABLE: &str = "variable \"";

/// Parts of a line that identify `.pgpass`, for the following lines too: the usual port, or any database.
const PGPASS_PORT: &str = ":5432:";
const PGPASS_ANY: &str = ":*:";

/// The most lines of a block that are searched for a variable's default.
const BLOCK_LINES_MAX: usize = 12;

/// How far from its type the private part of a JSON Web Key is searched, bytes: a key of 8,192 bits has two parts of
/// 1,366 digits and five of half that.
const WEB_KEY_BYTES_MAX: usize = 8 * 1024;

/// The fewest digits of the private part of a JSON Web Key.
const WEB_KEY_DIGITS_MIN: usize = 22;

/// The most lines of `.pgpass` that are read after one that identifies it.
const LOGINS_MAX: usize = 16;

/// The fields of a line of `.pgpass`: host, port, database, user, password.
const PGPASS_PARTS: usize = 5;

/// Whether a part of a text may decide about values beyond the next line, except as the head of a table.
pub fn reaches_far(part: &[u8]) -> bool {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    // Of this kind several bytes are looked at in one step, of the usual one each by itself.
    let kind = MatchKind::LeftmostFirst;
    let words = WORDS.get_or_init(|| AhoCorasick::builder().match_kind(kind).build(far()).ok());
    words.as_ref().is_none_or(|words| words.is_match(part))
}

/// Values whose names are in another line: in the previous one (`- name: TOKEN` and `value: value`, `password: |`,
/// `variable "password" {`), in a JSON Web Key; and lines of `.pgpass`. With ranges in the whole text.
///
/// Looks only at nearby text, so a part of a text gives the same results as the whole.
pub(crate) fn apart(text: &[u8], line: &Range<usize>) -> Vec<NamedValue> {
    let from = line.end.saturating_sub(FAR_BYTES_MAX);
    let upto = text.len().min(line.start.saturating_add(FAR_BYTES_MAX));
    let mut found = Vec::new();
    if let Some(near) = text.get(from..upto) {
        near_by(near, &(line.start - from..line.end - from), &mut found);
    }
    found.iter_mut().for_each(|(_, span, _)| *span = span.start + from..span.end + from);
    found
}

fn near_by(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    if raw.contains(&b':') {
        in_pairs_of_lines(text, line, found);
        in_logins(text, line, found);
        in_web_keys(text, line, found);
        in_secret(text, line, found);
    }
    in_sections(text, line, found);
    in_ppp_secrets(text, line, found);
    in_variables(text, line, found);
    in_elements(text, line, found);
    in_arguments(text, line, found);
    in_plurals(text, line, found);
}

/// `- name: TOKEN` with `value: value` in the next or previous line; `password: |` and a block of one line.
fn in_pairs_of_lines(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let Some((name, value)) = setting(text, line) else { return };
    match text.get(name.clone()) {
        Some(b"name" | b"key" | b"Name" | b"Key") => {
            let called = word(text, &value);
            if !names_a_secret(&called) {
                return;
            }
            let below = line_from(text, line.end);
            // A diff has the former value before the new one.
            let changed = below.clone().filter(|below| text.get(below.start) == Some(&b'-'));
            let new = changed.and_then(|below| line_from(text, below.end));
            let new = new.filter(|new| text.get(new.start) == Some(&b'+'));
            let value_of = |near: Range<usize>| {
                let (name, value) = setting(text, &near)?;
                matches!(text.get(name), Some(b"value" | b"Value")).then_some(value)
            };
            let mut values = [below, new].into_iter().flatten().filter_map(value_of).collect::<Vec<_>>();
            if values.is_empty() {
                values.extend(line_before(text, line.start).and_then(value_of));
            }
            found.extend(values.into_iter().map(|value| (called.clone(), value, CandidateSource::Name)));
        }
        _ if matches!(text.get(value), Some(b"|" | b">" | b"|-" | b">-" | b"|+" | b">+")) => {
            let Some(near) = line_from(text, line.end) else { return };
            let indent = |line: &Range<usize>| {
                let raw = text.get(unmarked(text, line)).unwrap_or_default();
                raw.iter().take_while(|byte| **byte == b' ').count()
            };
            let goes_on = line_from(text, near.end).is_some_and(|next| indent(&next) > indent(line));
            if indent(&near) > indent(line) && !goes_on {
                let value = bare(text, unmarked(text, &near));
                found.push((word(text, &name), value, CandidateSource::Name));
            }
        }
        _ => {}
    }
}

/// `<password>`, the value on its own line, `</password>`; in a property list `<key>password</key>` and
/// `<string>value</string>`.
fn in_elements(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default().trim_ascii();
    if let Some(name) = raw.strip_prefix(b"<key>").and_then(|rest| rest.strip_suffix(b"</key>")) {
        let next = line_from(text, line.end).map(|next| bare(text, next));
        let value = next.and_then(|next| {
            let inner = text.get(next.clone())?.strip_prefix(b"<string>")?.strip_suffix(b"</string>")?;
            let start = next.start + b"<string>".len();
            Some(start..start + inner.len())
        });
        let name = String::from_utf8_lossy(name).into_owned();
        found.extend(value.map(|value| (name, value, CandidateSource::Name)));
        return;
    }
    let Some(name) = raw.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")) else { return };
    let value = line_from(text, line.end);
    let close = value.clone().and_then(|value| line_from(text, value.end));
    if let (Some(value), Some(close)) = (value, close)
        && let Some(end) = text.get(close).map(<[u8]>::trim_ascii)
        && end.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")) == Some(name)
    {
        found.push((String::from_utf8_lossy(name).into_owned(), bare(text, value), CandidateSource::Place));
    }
}

/// `variable "password" {` and its default, in Terraform.
fn in_variables(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default().trim_ascii();
    let Some(name) = raw.strip_prefix(VARIABLE.as_bytes()) else { return };
    let Some(end) = name.iter().position(|byte| *byte == b'"') else { return };
    let called = String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned();
    if !names_a_secret(&called) {
        return;
    }
    let mut at = line.end;
    for _ in 0..BLOCK_LINES_MAX {
        let Some(next) = line_from(text, at) else { return };
        at = next.end;
        if text.get(next.clone()).is_some_and(|raw| raw.starts_with(b"}")) {
            return;
        }
        if let Some((name, value)) = setting(text, &next)
            && text.get(name) == Some(b"default")
        {
            return found.push((called, value, CandidateSource::Name));
        }
    }
}

/// Lines of `.pgpass`, from the first one that its port identifies.
fn in_logins(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    let says = |raw: &[u8]| {
        [PGPASS_PORT, PGPASS_ANY].iter().any(|word| places(raw, word.as_bytes()).next().is_some())
    };
    let lines = if says(raw) { LOGINS_MAX } else { 1 };
    let mut next = Some(line.clone());
    for number in 0..lines {
        let Some(line) = next else { return };
        // The next identified line covers the lines after it.
        if number > 0 && says(text.get(line.clone()).unwrap_or_default()) {
            return;
        }
        let Some(password) = pgpass(text, &line) else { return };
        found.push(("password".to_owned(), password, CandidateSource::Place));
        next = line_from(text, line.end);
    }
}

fn pgpass(text: &[u8], line: &Range<usize>) -> Option<Range<usize>> {
    let raw = text.get(line.clone())?.trim_ascii_end();
    let mut parts = raw.splitn(PGPASS_PARTS, |byte| *byte == b':');
    let (host, port) = (parts.next()?, parts.next()?);
    let (database, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let named = [host, database, user].iter().all(|part| !part.is_empty());
    let graphic = raw.iter().all(u8::is_ascii_graphic) && !raw.contains(&b'/');
    let number = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    let end = line.start + raw.len();
    (named && graphic && (number || port == b"*")).then(|| end - password.len()..end)
}

/// The private part of a JSON Web Key (RFC 7517), with members in any order and layout.
fn in_web_keys(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    let mut seen = 0;
    for at in places(raw, b"kty") {
        let ends = raw.get(at + b"kty".len()).is_some_and(|byte| is_quote(*byte));
        let at = line.start + at;
        if at < seen || !ends {
            continue;
        }
        let (before, behind) = text.split_at_checked(at).unwrap_or_default();
        let near = before.get(before.len().saturating_sub(WEB_KEY_BYTES_MAX)..).unwrap_or_default();
        let Some(open) = memchr::memrchr(b'{', near).map(|open| at - near.len() + open) else { continue };
        let Some(close) = memchr::memchr(b'}', behind.get(..WEB_KEY_BYTES_MAX).unwrap_or(behind)) else {
            continue;
        };
        seen = at + close;
        let key = text.get(open..seen).unwrap_or_default();
        let member = |name: u8| {
            let names = memchr::memchr_iter(name, key);
            names.filter_map(|at| member(key, at)).next().map(|span| open + span.start..open + span.end)
        };
        let symmetric = places(key, b"oct").next().and_then(|_| member(b'k'));
        let private = member(b'd').or(symmetric);
        found.extend(private.map(|span| ("private_key".to_owned(), span, CandidateSource::Place)));
    }
}

/// The value of the member whose one-letter name is here.
fn member(key: &[u8], at: usize) -> Option<Range<usize>> {
    let quote = *key.get(at.checked_sub(1)?)?;
    let behind = key.get(at + 1..)?.strip_prefix(&[quote]).filter(|_| is_quote(quote))?;
    let value = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(&[quote])?;
    let length = value.iter().position(|byte| *byte == quote)?;
    let digits = value.iter().take(length).all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(byte));
    let start = key.len() - value.len();
    (digits && length >= WEB_KEY_DIGITS_MIN).then(|| start..start + length)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The values that each line of a text gives, with their names.
    pub(crate) fn by_line(
        text: &str,
        look: impl Fn(&[u8], &Range<usize>, &mut Vec<NamedValue>),
    ) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            look(text.as_bytes(), &(start..start + line.len()), &mut found);
            start += line.len();
        }
        found.into_iter().map(|one| (one.0, &text[one.1])).collect()
    }

    fn shown(text: &str) -> Vec<(String, &str)> {
        by_line(text, |text, line, found| found.extend(apart(text, line)))
    }

    const WEB: &str = "kD93hfQ0plm4kD93hfQ0plm4";

    #[test]
    fn a_name_in_one_line_and_its_value_in_the_next() {
        for (text, name) in [
            ("- name: API_TOKEN\n  value: kD93hfQ0plm4\n", "API_TOKEN"),
            ("- name: \"API_TOKEN\"\r\n  value: 'kD93hfQ0plm4'\r\n", "API_TOKEN"),
            ("- value: kD93hfQ0plm4\n  name: API_TOKEN\n", "API_TOKEN"),
            ("{\n \"name\": \"API_TOKEN\",\n \"value\": \"kD93hfQ0plm4\"\n}", "API_TOKEN"),
            ("a:\n  password: |\n    kD93hfQ0plm4\n  x: y\n", "password"),
            ("password: >-\n  kD93hfQ0plm4", "password"),
            ("<password>\n  kD93hfQ0plm4\n</password>\n", "password"),
            ("  <key>API_TOKEN</key>\n  <string>kD93hfQ0plm4</string>\n", "API_TOKEN"),
            ("+        - name: API_TOKEN\n+          value: kD93hfQ0plm4\n", "API_TOKEN"),
            (" - name: API_TOKEN\n-  value: x\n+  value: kD93hfQ0plm4\n", "API_TOKEN"),
            ("+a:\n+  password: |\n+    kD93hfQ0plm4\n+  x: y\n", "password"),
            ("#  - name: API_TOKEN\n#    value: kD93hfQ0plm4\n", "API_TOKEN"),
            ("variable \"db_password\" {\n  type = string\n  default = \"kD93hfQ0plm4\"\n}\n", "db_password"),
        ] {
            let all: Vec<_> = shown(text).into_iter().filter(|one| one.1 != "x").collect();
            assert_eq!(all, [(name.to_owned(), "kD93hfQ0plm4")], "{text}");
        }
        for text in [
            "- name: MODE\n  value: kD93hfQ0plm4\n",
            "- name: API_TOKEN\n  valueFrom:\n    x: kD93hfQ0plm4\n",
            "note: |\n  one line\n  and another\n",
            "password: |\nkD93hfQ0plm4\n",
            "variable \"db_password\" {\n}\n  default = \"kD93hfQ0plm4\"\n",
            "variable \"mode\" {\n  default = \"kD93hfQ0plm4\"\n}\n",
        ] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_line_of_pgpass_has_its_password_last() {
        let text = "db:5432:*:app:kD93hfQ0plm4\nother:6432:x:app:kD93:fQ0\n# note\n";
        let all = shown(text);
        assert!(all.iter().any(|one| one.1 == "kD93hfQ0plm4") && all.iter().any(|one| one.1 == "kD93:fQ0"));
        for text in ["- 127.0.0.1:5432:5432\n", "a:b:c:d:e\n", "x:5432::app:p\n", "http://a:80:b:c:d\n"] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn of_many_lines_of_pgpass_each_is_read_once() {
        let line = |number: usize| format!("h{number}:5432:d:u:kD93hfQ0p{number:04}\n");
        let text: String = (0..1_000).map(line).collect();
        assert_eq!(shown(&text).len(), 1_000);
        let text = format!("{}h:6432:d:u:kD93hfQ0plm4\n", (0..40).map(line).collect::<String>());
        assert_eq!(shown(&text).iter().filter(|one| one.1 == "kD93hfQ0plm4").count(), 2);
    }

    #[test]
    fn the_private_part_of_a_web_key_is_one() {
        for text in [
            format!("{{\"kty\":\"EC\",\"x\":\"{WEB}x\",\"d\":\"{WEB}\"}}"),
            format!("{{\n \"d\": \"{WEB}\",\n \"kty\": \"OKP\"\n}}\n"),
            format!("x = {{'kty': 'oct', 'k': '{WEB}'}}"),
        ] {
            assert_eq!(shown(&text), [("private_key".to_owned(), WEB)], "{text}");
        }
        for text in [
            format!("{{\"kty\":\"EC\",\"x\":\"{WEB}\",\"y\":\"{WEB}\"}}"),
            format!("{{\"kty\":\"RSA\",\"k\":\"{WEB}\"}}"),
            format!("{{\"d\":\"{WEB}\"}} kty:"),
            "kty: d".to_owned(),
        ] {
            assert!(shown(&text).is_empty(), "{text}");
        }
    }
}
