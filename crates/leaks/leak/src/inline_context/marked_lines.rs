use std::ops::Range;

use crate::allowlist::BYTES_MIN;
use crate::candidate::{CandidateSource, NamedValue, VALUE_BYTES_MAX};
use crate::inline_context::words::is_quote;
use crate::{names_a_key, names_a_secret};

/// The most signs of a line that are looked at.
const SIGNS_MAX: usize = 32;

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Signs of make between a name and `=`.
pub(crate) const OPERATORS: &[u8] = b"?:+";

/// Values without quotes behind the marks of other programs: `+NAME=value` of a diff, `12:NAME=value` of grep,
/// `api-1  | NAME = value` of a log, `#NAME=value`; and after the operators of make, `NAME ?= value`.
///
/// Lines that begin with their name are read as settings.
pub(crate) fn behind_marks(line: &[u8], found: &mut Vec<NamedValue>) {
    for sign in memchr::memchr2_iter(b'=', b':', line).take(SIGNS_MAX) {
        let (before, behind) = line.split_at_checked(sign).unwrap_or_default();
        let behind = behind.get(1..).unwrap_or_default();
        let colon = line.get(sign) == Some(&b':');
        if colon && !matches!(behind.first(), Some(b' ' | b'\t')) || behind.first() == Some(&b'=') {
            continue;
        }
        // Whether a short value is there is told sooner than whether it has a secret's name.
        let lead = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let value = word(behind.get(lead..).unwrap_or_default());
        if !(BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()) {
            continue;
        }
        let trimmed = if colon { before } else { without_operator(before) };
        let operator = trimmed.len() < before.len();
        let Some(name) = name_at_end(trimmed.trim_ascii_end()) else { continue };
        let prefix = line.get(..name.start).unwrap_or_default();
        let first = matches!(prefix.trim_ascii(), b"" | b"export") || prefix.trim_ascii_start() == b"- ";
        let Some(called) = line.get(name).and_then(|name| str::from_utf8(name).ok()) else { continue };
        if first && !operator || !is_marks(prefix) || !(names_a_secret(called) || names_a_key(called)) {
            continue;
        }
        let start = sign + 1 + lead;
        found.push((called.to_owned(), start..start + value.len(), CandidateSource::Name));
    }
}

/// The text before the operator at its end: `NAME ` of `NAME ?`.
pub(crate) fn without_operator(before: &[u8]) -> &[u8] {
    let length = before.iter().rposition(|byte| !OPERATORS.contains(byte)).map_or(0, |last| last + 1);
    before.get(..length).unwrap_or_default()
}

/// The first word, without quotes and without the signs that end it.
fn word(text: &[u8]) -> &[u8] {
    // Also with a backslash, in a string.
    if text.strip_prefix(b"\\").unwrap_or(text).first().is_some_and(|byte| is_quote(*byte)) {
        return &[];
    }
    // What is longer is no value.
    let near = text.iter().take(2 * VALUE_BYTES_MAX);
    let length = near.take_while(|byte| !byte.is_ascii_whitespace() && **byte != 0).count();
    let word = text.get(..length).unwrap_or_default();
    // `git diff --word-diff`.
    let word = [b"+}", b"-]"].iter().find_map(|end| word.strip_suffix(*end)).unwrap_or(word);
    let ends = |byte: &u8| is_quote(*byte) || b",;\\".contains(byte);
    let length = word.iter().rposition(|byte| !ends(byte)).map_or(0, |last| last + 1);
    word.get(..length).unwrap_or_default()
}

/// The name at the end of a text, without the marks before it.
fn name_at_end(text: &[u8]) -> Option<Range<usize>> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let near = text.get(text.len().saturating_sub(NAME_BYTES_MAX + 1)..)?;
    let length = near.iter().rev().take_while(|byte| good(byte)).count();
    let run = text.get(text.len() - length..)?;
    // A terminal code ends with a letter, and grep writes `FILE-12-NAME` beside a line that matches.
    let code = ends_of_code(text, text.len() - length);
    let run = run.get(code..)?;
    let numbered = run.windows(2).rposition(|two| matches!(two, [digit, b'-'] if digit.is_ascii_digit()));
    let context = numbered.map(|at| at + 2).filter(|from| run.get(*from..).is_some_and(is_constant));
    let marks = run.iter().take_while(|byte| matches!(byte, b'-' | b'.')).count();
    let run = run.get(context.unwrap_or(marks)..)?;
    (!run.is_empty() && run.len() <= NAME_BYTES_MAX).then(|| text.len() - run.len()..text.len())
}

/// How many of the bytes from here on belong to a terminal code (ECMA-48, CSI): `31m` after `ESC [`.
fn ends_of_code(text: &[u8], from: usize) -> usize {
    let (before, behind) = text.split_at_checked(from).unwrap_or_default();
    let parameters = |byte: &u8| matches!(byte, 0x30..=0x3f);
    let early = before.iter().rev().take_while(|byte| parameters(byte)).count();
    if !before.get(..before.len() - early).is_some_and(|before| before.ends_with(b"\x1b[")) {
        return 0;
    }
    let digits = behind.iter().take_while(|byte| parameters(byte)).count();
    if behind.get(digits).is_some_and(u8::is_ascii_alphabetic) { digits + 1 } else { 0 }
}

fn is_constant(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// Whether a setting may begin after this part of a line: after a space, after marks alone, after a line's number, or
/// after a terminal code.
pub(crate) fn is_marks(prefix: &[u8]) -> bool {
    let Some((last, before)) = prefix.split_last() else { return true };
    let mark = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"([{=,".contains(byte);
    let digit = before.last().is_some_and(u8::is_ascii_digit);
    last.is_ascii_whitespace()
        || matches!(last, b':' | b'-') && digit
        || before.ends_with(b"{") && *last == b'+'
        || before.ends_with(b"[") && *last == b'-'
        || prefix.iter().all(mark)
        || ends_code(prefix)
}

/// Whether a text ends with a terminal code, and marks alone after it.
fn ends_code(prefix: &[u8]) -> bool {
    let Some(at) = memchr::memrchr(0x1b, prefix) else { return false };
    let code = prefix.get(at + 1..).unwrap_or_default();
    let Some(rest) = code.strip_prefix(b"[") else { return false };
    let parameters = rest.iter().take_while(|byte| matches!(byte, 0x30..=0x3f)).count();
    let end = rest.get(parameters).is_some_and(u8::is_ascii_alphabetic);
    end && rest.get(parameters + 1..).is_some_and(|marks| !marks.iter().any(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        behind_marks(line.as_bytes(), &mut found);
        found.into_iter().map(|one| (one.0, &line[one.1])).collect()
    }

    #[test]
    fn a_name_is_read_behind_the_marks_of_other_programs() {
        for before in [
            "+",
            "-",
            "++",
            " +",
            "-+",
            "<",
            "> ",
            "#",
            "// ",
            ";",
            "!",
            "│ + ",
            "12:",
            "a/prod.env:12:",
            "a/prod.env-12-",
            "\x1b[32m+",
            "\x1b[m",
            "\x1b[32m+\x1b[m\x1b[32m",
            "{+",
            "[-",
            "$ export ",
            "api-1  | ",
            "2026-11-25T10:00:00.123Z ",
            "- + export ",
        ] {
            for sign in ["=", " = ", ": ", " ?= ", ":=", " ::= ", "+="] {
                let line = format!("{before}DB_PASSWORD{sign}kD93hfQ0plm4 x");
                let all = [("DB_PASSWORD".to_owned(), "kD93hfQ0plm4")];
                assert_eq!(shown(&line), all, "{line:?}");
            }
        }
        for line in ["{+API_TOKEN=kD93hfQ0plm4+}", "[-API_TOKEN=kD93hfQ0plm4-]", "`API_TOKEN=kD93hfQ0plm4`"] {
            assert_eq!(shown(line), [("API_TOKEN".to_owned(), "kD93hfQ0plm4")], "{line}");
        }
        assert_eq!(shown("API_TOKEN ?= kD93hfQ0plm4"), [("API_TOKEN".to_owned(), "kD93hfQ0plm4")]);
        assert_eq!(shown("+X-API-KEY: kD93hfQ0plm4"), [("X-API-KEY".to_owned(), "kD93hfQ0plm4")]);
    }

    #[test]
    fn settings_and_programs_are_left_to_others() {
        for line in [
            "DB_PASSWORD=kD93hfQ0plm4",
            "  password: kD93hfQ0plm4",
            "export TOKEN=kD93hfQ0plm4",
            "connect(password=kD93hfQ0plm4)",
            "f(a,password=kD93hfQ0plm4)",
            "{password: kD93hfQ0plm4}",
            "+if password == kD93hfQ0plm4",
            "+NAME=kD93hfQ0plm4",
            "+password = \"kD93hfQ0plm4\"",
            "+token:kD93hfQ0plm4",
            "x12-password=kD93hfQ0plm4",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
