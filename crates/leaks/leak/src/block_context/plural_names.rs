use std::ops::Range;

use crate::block_context::lines::{FAR_BYTES_MAX, bare, line_from, unmarked};
use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::confidence::{is_random_key, is_strong_password};
use crate::inline_context::words::is_quote;
use crate::names_a_secret;
use crate::secret_names::{names_a_password, singular};

/// How the names of several in lines of their own are written: those decide about values far below.
pub(crate) const PLURALS: [&str; 28] = [
    "keys:\n",
    "Keys:\n",
    "KEYS:\n",
    "keys\": [",
    "Keys\": [",
    "KEYS\": [",
    "KEYS = [",
    "KEYS = {",
    "okens:\n",
    "TOKENS:\n",
    "okens\": [",
    "okens\": {",
    "okens = [",
    "okens = {",
    "TOKENS = [",
    "TOKENS = {",
    "okens]\n",
    "ecrets:\n",
    "ecrets\": {",
    "ecrets\": [",
    "ecrets]\n",
    "asswords:\n",
    "asswords\": {",
    "asswords\": [",
    "asswords]\n",
    "asswords = {",
    "redentials:\n",
    "redentials\": {",
];

/// The most lines below a name that are read.
const LINES_MAX: usize = 64;

/// Ends of the names of members that are not secret: identifiers, checksums, versions and places; and ciphertext with
/// what belongs to it, as Pulumi and Chef write it.
const OTHERS: [&str; 21] = [
    "id",
    "hash",
    "digest",
    "checksum",
    "fingerprint",
    "sha",
    "sha256",
    "commit",
    "version",
    "path",
    "file",
    "url",
    "arn",
    "public",
    "secure",
    "ciphertext",
    "iv",
    "nonce",
    "salt",
    "tag",
    "encrypted",
];

/// How much of a list or object is read, bytes.
const BRACKETS_BYTES_MAX: usize = 4 * 1024;

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The digits of an address in Ethereum, which programs call a token too.
const ADDRESS_BYTES: usize = 42;

/// Values that have only the name above them: the items and members of `tokens:`, `"apiKeys": [`, `[passwords]`, and the
/// parts of `API_KEYS=one,two`. Their own names say nothing, so only values that look random are taken.
pub(crate) fn in_plurals(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    let near = text.get(..text.len().min(line.start.saturating_add(FAR_BYTES_MAX))).unwrap_or(text);
    if let Some(name) = section(raw) {
        return below(near, line.end, None, name, found);
    }
    for sign in memchr::memchr2_iter(b':', b'=', raw) {
        let at = line.start + sign + 1;
        if !may_begin_several(raw, sign) {
            continue;
        }
        let rest = near.get(at..).unwrap_or_default();
        let lead = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let colon = raw.get(sign) == Some(&b':');
        let name = || name_before(raw.get(..sign).unwrap_or_default());
        match rest.get(lead) {
            Some(b'[' | b'{') => {
                name().and_then(group).into_iter().for_each(|name| in_brackets(near, at + lead, name, found));
            }
            None | Some(b'\n' | b'\r') if colon => {
                let depth = Some(depth(near, line));
                name().and_then(group).into_iter().for_each(|name| below(near, line.end, depth, name, found));
            }
            // A single value has been read as a setting.
            _ if !colon => {
                let name = name().and_then(singular);
                name.into_iter().for_each(|name| parts(near, at + lead..line.end, name, found));
            }
            _ => {}
        }
    }
}

/// Whether a bracket or the end of the line may follow a sign, or before it a plural ends. After most signs a value
/// follows.
fn may_begin_several(raw: &[u8], sign: usize) -> bool {
    let (before, behind) = raw.split_at_checked(sign).unwrap_or_default();
    match behind {
        [b':', next, ..] => matches!(next, b' ' | b'\t' | b'[' | b'{' | b'\n' | b'\r'),
        [_, b' ' | b'\t' | b'[' | b'{', ..] | [b':'] => true,
        _ => matches!(before.last(), Some(b's' | b'S' | b'"' | b'\'' | b' ' | b'\t')),
    }
}

/// The name before a sign, without quotes.
fn name_before(before: &[u8]) -> Option<&str> {
    let before = without_quote(before.trim_ascii_end());
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = before.iter().rev().take(NAME_BYTES_MAX + 1).take_while(|byte| good(byte)).count();
    let name =
        before.get(before.len() - length..).filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))?;
    str::from_utf8(name).ok()
}

fn without_quote(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"\"").or_else(|| name.strip_suffix(b"'")).unwrap_or(name)
}

/// `[tokens]` of a settings file.
fn section(raw: &[u8]) -> Option<&str> {
    let name = raw.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    str::from_utf8(name).ok().and_then(group)
}

/// The name of one in a group: `token` for `tokens:` and for `token:`.
fn group(name: &str) -> Option<&str> {
    singular(name).or_else(|| Some(name).filter(|name| names_a_secret(name)))
}

/// The values in the lines below a name: all that are deeper, or those up to the next section.
fn below(text: &[u8], from: usize, parent: Option<usize>, name: &str, found: &mut Vec<NamedValue>) {
    let mut next = line_from(text, from);
    // The first one says how deep its siblings are.
    let mut own = None;
    for _ in 0..LINES_MAX {
        let Some(line) = next else { return };
        next = line_from(text, line.end);
        let span = bare(text, unmarked(text, &line));
        let raw = text.get(line.clone()).unwrap_or_default();
        let depth = depth(text, &line);
        if span.is_empty() || raw.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let item = raw.trim_ascii_start().starts_with(b"- ");
        let is_end = match parent {
            Some(parent) => depth < parent || depth == parent && !item,
            None => raw.starts_with(b"["),
        };
        if is_end {
            return;
        }
        if *own.get_or_insert(depth) == depth || parent.is_none() {
            let (called, value) = member(text, without_comment(text, span));
            take(text, called, value, name, found);
        }
    }
}

/// A line's content up to a comment at its end.
fn without_comment(text: &[u8], span: Range<usize>) -> Range<usize> {
    let raw = text.get(span.clone()).unwrap_or_default();
    let comment = places(raw, b" #").next().unwrap_or(raw.len());
    bare(text, span.start..span.start + comment)
}

/// The name and the value of a member; of an item there is no name.
fn member(text: &[u8], span: Range<usize>) -> (Range<usize>, Range<usize>) {
    let raw = text.get(span.clone()).unwrap_or_default();
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.\"'/@".contains(byte);
    let length = raw.iter().take_while(|byte| name(byte)).count();
    let behind = raw.get(length..).unwrap_or_default();
    let blanks = behind.iter().take_while(|byte| **byte == b' ').count();
    let signed = matches!(behind.get(blanks..), Some([b':', b' ', ..] | [b'=', ..]));
    let (end, start) = (span.start + length, span.start + length + blanks + 1);
    match signed && length > 0 {
        true => (bare(text, span.start..end), bare(text, start..span.end)),
        false => (span.start..span.start, span),
    }
}

/// The quoted values between brackets; in an object those after a colon.
fn in_brackets(text: &[u8], open: usize, name: &str, found: &mut Vec<NamedValue>) {
    let object = text.get(open) == Some(&b'{');
    let (mut at, mut depth) = (open, 0_usize);
    while let Some(byte) = text.get(at).filter(|_| at - open < BRACKETS_BYTES_MAX) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth <= 1 => return,
            b']' | b'}' => depth -= 1,
            quote if is_quote(*quote) => {
                let inner = text.get(at + 1..).unwrap_or_default();
                let Some(length) = inner.iter().position(|byte| byte == quote || *byte == b'\n') else {
                    return;
                };
                let before = text.get(open..at).unwrap_or_default().trim_ascii_end();
                let sign = [b":".as_slice(), b"=>"].iter().find_map(|sign| before.strip_suffix(*sign));
                let called = sign.and_then(name_before).map_or(0, |name| name.len());
                let end = open + sign.map_or(0, |before| without_quote(before.trim_ascii_end()).len());
                if depth == 1 && (!object || sign.is_some()) {
                    take(text, end - called..end, at + 1..at + 1 + length, name, found);
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// The parts of `one,two`.
fn parts(text: &[u8], span: Range<usize>, name: &str, found: &mut Vec<NamedValue>) {
    let span = bare(text, span);
    let raw = text.get(span.clone()).unwrap_or_default();
    let mut start = span.start;
    for part in raw.split(|byte| matches!(byte, b',' | b';' | b' ')) {
        take(text, start..start, start..start + part.len(), name, found);
        start += part.len() + 1;
    }
}

/// Adds a value that looks random, unless its own name says that it is something else.
fn take(text: &[u8], called: Range<usize>, span: Range<usize>, name: &str, found: &mut Vec<NamedValue>) {
    let value = text.get(span.clone()).unwrap_or_default();
    let address = value.len() == ADDRESS_BYTES && value.starts_with(b"0x");
    let random = is_random_key(value) && !address;
    // Most values are neither, and their names do not matter.
    if !(random || is_strong_password(value) && names_a_password(name)) {
        return;
    }
    let called = String::from_utf8_lossy(text.get(called).unwrap_or_default()).to_ascii_lowercase();
    if !OTHERS.iter().any(|other| called.ends_with(other)) && !called.starts_with("encrypted") {
        found.push((name.to_owned(), span, CandidateSource::Name));
    }
}

/// How far a line is indented, without the marks of a diff.
fn depth(text: &[u8], line: &Range<usize>) -> usize {
    let raw = text.get(unmarked(text, line)).unwrap_or_default();
    raw.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_context::tests::by_line;

    const ONE: &str = "kD93hfQ0plm4kD93";
    const TWO: &str = "Zt71mQx0Rv5pLb2W";

    fn shown(text: &str) -> Vec<(String, &str)> {
        by_line(text, in_plurals)
    }

    #[test]
    fn values_below_a_plural_are_several_of_its_kind() {
        for (text, name) in [
            (format!("api_keys:\n  - {ONE}\n  - \"{TWO}\" # mine\nport: {ONE}\n"), "api_key"),
            (format!("tokens:\n- {ONE}\n- {TWO}\nx:\n- {ONE}\n"), "token"),
            (format!("+tokens:\n+  ci: {ONE}\n+  bot: '{TWO}'\n x: {ONE}\n"), "token"),
            (format!("{{\"apiKeys\": [\"{ONE}\", \"{TWO}\"], \"x\": \"{ONE}\"}}\n"), "apiKey"),
            (
                format!(
                    "\"tokens\": {{\n  \"ci\": \"{ONE}\",\n  \"bot\": \"{TWO}\"\n}},\n\"x\": \"{ONE}\"\n"
                ),
                "token",
            ),
            (format!("API_KEYS = [\n  '{ONE}',\n  '{TWO}',\n]\n"), "API_KEY"),
            (format!("API_KEYS={ONE},{TWO}\n"), "API_KEY"),
            (format!("[tokens]\nci = \"{ONE}\"\nbot = {TWO}\n[x]\na = {ONE}\n"), "token"),
            (format!("secret:\n  a: {ONE}\n  b: {TWO}\n"), "secret"),
        ] {
            let all = [(name.to_owned(), ONE), (name.to_owned(), TWO)];
            assert_eq!(shown(&text), all, "{text}");
        }
        assert_eq!(
            shown("passwords:\n  app: Kestrel19dock\n  note: \"of the app\"\n"),
            [("password".to_owned(), "Kestrel19dock")]
        );
    }

    #[test]
    fn names_paths_and_addresses_below_a_plural_are_none() {
        let address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
        for text in [
            "secrets:\n  db_password:\n    file: ./db_password.txt\n  api:\n    name: prod-api-v2\n"
                .to_owned(),
            "tokens:\n  - access_token\n  - refresh_token2\n".to_owned(),
            format!("tokens: {{ USDC: \"{address}\" }}\n"),
            format!("tokens:\n  a:\n    b: {ONE}\n"),
            format!("names:\n  - {ONE}\n"),
            format!("app:dbPassword:\n  secure: {ONE}\n"),
            format!("\"password\": {{\"encrypted_data\": \"{ONE}\", \"iv\": \"{TWO}\"}}\n"),
            format!("secrets:\n  key_id: {ONE}\n  commit: \"{TWO}\"\n"),
            format!("keys: [\"{ONE}\"]\n"),
            "{\"tokens\": {\"color\": \"#3b82f6\", \"font2\": \"Inter-4.0\"}}\n".to_owned(),
            "secrets: inherit\n".to_owned(),
            format!("tokens:\n\nx: {ONE}\n"),
        ] {
            assert!(shown(&text).is_empty(), "{text}");
        }
    }
}
