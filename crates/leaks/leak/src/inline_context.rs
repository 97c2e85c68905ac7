pub(crate) mod base64_login;
pub(crate) mod calls;
pub(crate) mod commands;
pub(crate) mod connection_strings;
pub(crate) mod daemon_settings;
pub(crate) mod list_items;
pub(crate) mod marked_lines;
pub(crate) mod npm_settings;
pub(crate) mod program_options;
pub(crate) mod sent_tokens;
pub(crate) mod url_credentials;
pub(crate) mod words;

use std::ops::Range;

use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue, VALUE_BYTES_MAX};
use crate::inline_context::base64_login::password_of;
use crate::inline_context::calls::in_calls;
use crate::inline_context::commands::{in_commands, in_shares};
use crate::inline_context::connection_strings::in_parts;
use crate::inline_context::daemon_settings::in_daemons;
use crate::inline_context::list_items::in_lists;
use crate::inline_context::marked_lines::behind_marks;
use crate::inline_context::npm_settings::in_npm;
use crate::inline_context::sent_tokens::in_sent;
use crate::inline_context::words::{is_quote, words};
use crate::names_a_secret;

/// The longest name, and the longest type after one, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Words of SQL before a quoted password, in lower case.
const STATEMENTS: [&[u8]; 5] = [
    b"identified by ",
    b"mysql_native_password by ",
    b"caching_sha2_password by ",
    b"password ",
    b"password(",
];

/// Values with their names directly before them, in lines that are not one setting: `const TOKEN: &str = "value"`, `{
/// user: 'x', password: 'value' }`, `#define PASS "value"`, `<password>value</password>`, `mysql -pvalue`,
/// `IDENTIFIED BY 'value'`, `{\"password\":\"value\"}` in a string.
pub(crate) fn beside(line: &[u8]) -> Vec<NamedValue> {
    let mut found = Vec::new();
    in_quotes(line, &mut found);
    in_elements(line, &mut found);
    in_queries(line, &mut found);
    let words = words(line);
    behind_a_word(line, &words, &mut found);
    in_sentence(line, &words, &mut found);
    in_commands(line, &words, &mut found);
    in_shares(line, &words, &mut found);
    in_daemons(line, &words, &mut found);
    in_calls(line, &mut found);
    in_parts(line, &mut found);
    in_lists(line, &mut found);
    in_npm(line, &mut found);
    in_sent(line, &words, &mut found);
    behind_marks(line, &mut found);
    found
}

/// Quoted values, also in nested strings, with the names before them.
fn in_quotes(line: &[u8], found: &mut Vec<NamedValue>) {
    let mut at = 0;
    // The value of a `name` member: `{ "name": "API_KEY", "value": "value" }`.
    let mut named = None;
    while let Some(open) = line.get(at..).and_then(|rest| rest.iter().position(|byte| is_quote(*byte))) {
        let open = at + open;
        at = open + 1;
        let Some(quote) = line.get(open) else { break };
        let rest = line.get(at..).unwrap_or_default();
        let escaped = line.get(..open).is_some_and(|before| before.ends_with(b"\\"));
        let Some(length) = rest.iter().position(|byte| byte == quote || escaped && *byte == b'\\') else {
            continue;
        };
        let before = line.get(open.saturating_sub(2 * NAME_BYTES_MAX)..open).unwrap_or_default();
        // The first two of three quotes are empty.
        let before = [b"\\".as_slice(), b"\"\""]
            .iter()
            .fold(before, |text, end| text.strip_suffix(*end).unwrap_or(text));
        let value = at..at + length;
        let within = rest.get(..length).unwrap_or_default();
        let Some((name, by)) = name_of(before) else {
            found.extend(in_header(within, at));
            continue;
        };
        in_file(within, at, found);
        match name.as_str() {
            "name" | "key" => {
                named = last_word(within).filter(|word| word.len() == within.len());
                found.push((name, value, by));
            }
            "value" => found.push((named.take().unwrap_or(name), value, by)),
            // In Docker.
            "auth" | "_auth" if password_of(within).is_some_and(|one| !one.is_empty()) => {
                found.push((name, value, CandidateSource::Place))
            }
            _ => found.push((name, value, by)),
        }
        at += length + 1;
    }
}

/// `X-Api-Key: value` as one argument.
fn in_header(text: &[u8], start: usize) -> Option<NamedValue> {
    let sign = places(text, b": ").next()?;
    let (name, value) = (text.get(..sign)?, text.get(sign + 2..)?);
    let name = last_word(name).filter(|word| word.len() == name.len() && names_a_secret(word))?;
    let value = value.trim_ascii_start();
    let word = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
    word.then(|| (name, start + text.len() - value.len()..start + text.len(), CandidateSource::Place))
}

/// A settings file in one string: `NAME=value\nOTHER=value`.
fn in_file(text: &[u8], start: usize, found: &mut Vec<NamedValue>) {
    if places(text, b"\\n").next().is_none() {
        return;
    }
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = places(rest, b"\\n").next().unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let sign = memchr::memchr(b'=', line).unwrap_or(0);
        let name = line.get(..sign).unwrap_or_default();
        let constant = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        if !name.is_empty() && name.iter().all(constant) {
            let name = String::from_utf8_lossy(name).into_owned();
            if names_a_secret(&name) {
                found.push((name, start + at + sign + 1..start + at + length, CandidateSource::Place));
            }
        }
        at += length + 2;
    }
}

/// The name before the sign at the end of a text, without a type between them.
fn name_of(before: &[u8]) -> Option<(String, CandidateSource)> {
    if is_statement(before) {
        return Some(("password".to_owned(), CandidateSource::Place));
    }
    let before = before.trim_ascii_end();
    let signs: [&[u8]; 4] = [b":=", b"=>", b"=", b":"];
    let sign = signs.iter().find(|sign| before.ends_with(sign));
    let Some(sign) = sign else { return of_a_call(before) };
    let before = before.strip_suffix(*sign)?;
    // `?=` in make, `||=` in Ruby, `.=` in PHP.
    let more = before.iter().rposition(|byte| !b":?|.+".contains(byte)).map_or(0, |last| last + 1);
    let before = before.get(..more)?.trim_ascii_end();
    // `var token string =` in Go.
    let before = before.strip_suffix(b" string").unwrap_or(before).trim_ascii_end();
    // `TOKEN: &str`, `token: string`: the text after the colon is a type, unless it is the name.
    let colon = before.iter().rposition(|byte| *byte == b':').filter(|_| *sign == b"=");
    let typed = colon.and_then(|at| before.split_at_checked(at)).filter(|(_, behind)| {
        let mut behind = behind.iter().skip(1);
        behind.len() < NAME_BYTES_MAX
            && behind.all(|byte| byte.is_ascii_alphanumeric() || b" &'_<>[]?".contains(byte))
    });
    // `SetCredential` and the like are no names of values.
    let name = last_word(typed.map_or(before, |(name, _)| name)).filter(|name| name != "SetCredential")?;
    Some((name, CandidateSource::Name))
}

/// `IDENTIFIED BY 'value'`.
fn is_statement(before: &[u8]) -> bool {
    let small = before.to_ascii_lowercase();
    let rest = STATEMENTS.iter().find_map(|words| small.strip_suffix(*words));
    rest.is_some_and(|rest| rest.last().is_none_or(u8::is_ascii_whitespace))
}

/// `define( 'NAME',`.
fn of_a_call(before: &[u8]) -> Option<(String, CandidateSource)> {
    let called = before.strip_suffix(b",")?.trim_ascii_end();
    let quote = called.last().filter(|byte| is_quote(**byte))?;
    let name = last_word(called)?;
    let head = called.get(..called.len() - 1)?.strip_suffix(name.as_bytes())?.strip_suffix(&[*quote])?;
    head.trim_ascii_end().ends_with(b"(").then_some((name, CandidateSource::Name))
}

fn last_word(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii_end();
    // `config['name']`.
    let text = text.strip_suffix(b"]").unwrap_or(text);
    let quote = text.last().filter(|byte| is_quote(**byte));
    let text = [b"\\\"".as_slice(), b"\"", b"'"]
        .iter()
        .fold(text, |text, end| text.strip_suffix(*end).unwrap_or(text));
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let start = text.iter().rposition(|byte| !good(byte)).map_or(0, |at| at + 1);
    let word = text.get(start..)?;
    // Quotes contain the whole name: `AWS::IAM::AccessKey` is not one.
    if quote.is_some_and(|quote| start.checked_sub(1).and_then(|at| text.get(at)) != Some(quote)) {
        return None;
    }
    (!word.is_empty() && word.len() <= NAME_BYTES_MAX).then(|| String::from_utf8_lossy(word).into_owned())
}

/// `<name>value</name>`, `<string name="name">value</string>`.
fn in_elements(line: &[u8], found: &mut Vec<NamedValue>) {
    for end in places(line, b"</") {
        let before = line.get(..end).unwrap_or_default();
        let far = before.len().saturating_sub(VALUE_BYTES_MAX + 1);
        let Some(start) =
            before.get(far..).and_then(|near| near.iter().rposition(|byte| *byte == b'>')).map(|at| far + at)
        else {
            continue;
        };
        let Some(open) = before.get(..start).and_then(|tag| tag.iter().rposition(|byte| *byte == b'<'))
        else {
            continue;
        };
        let tag = before.get(open + 1..start).unwrap_or_default();
        let named = [b"name=".as_slice(), b"key="].iter().find_map(|mark| {
            let name = tag.get(places(tag, mark).next()? + mark.len()..)?;
            last_word(name.split(|byte| *byte == b' ').next()?)
        });
        if let Some(name) = named.or_else(|| last_word(tag.split(|byte| *byte == b' ').next()?)) {
            found.push((name, start + 1..end, CandidateSource::Name));
        }
    }
}

/// `?api_key=value&password=value`.
fn in_queries(line: &[u8], found: &mut Vec<NamedValue>) {
    for start in memchr::memchr2_iter(b'?', b'&', line) {
        let rest = line.get(start + 1..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || b"&#;<>\\".contains(byte);
        let near = rest.get(..rest.len().min(NAME_BYTES_MAX + VALUE_BYTES_MAX)).unwrap_or_default();
        let length = near.iter().position(ends);
        if length.is_none() && near.len() < rest.len() {
            continue;
        }
        let part = near.get(..length.unwrap_or(near.len())).unwrap_or_default();
        let Some(sign) = part.iter().position(|byte| *byte == b'=') else { continue };
        let name = part.get(..sign).unwrap_or_default();
        if last_word(name).is_some_and(|word| word.len() == name.len()) {
            let name = String::from_utf8_lossy(name).into_owned();
            // Requests send page tokens too, but those are seldom made of words.
            found.push((name, start + 1 + sign + 1..start + 1 + part.len(), CandidateSource::Name));
        }
    }
}

/// Words before `key` in a sentence about a secret.
const KEYS: [&[u8]; 4] = [b"api", b"access", b"secret", b"auth"];

/// The shortest value that a name in a sentence has, bytes.
const SAID_BYTES_MIN: usize = 20;

/// A name in a sentence or a log, and a long value after it: `acme API_TOKEN value`, `the token is value`, `api key
/// value`.
fn in_sentence(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    let raw = |word: &Range<usize>| line.get(word.clone()).unwrap_or_default();
    for (at, value) in words.iter().enumerate().skip(1) {
        let text = raw(value);
        if text.len() < SAID_BYTES_MIN {
            continue;
        }
        let length = text.iter().rposition(|byte| !b",.;:".contains(byte)).map_or(0, |last| last + 1);
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+/=".contains(byte);
        if length < SAID_BYTES_MIN || !text.iter().take(length).all(good) {
            continue;
        }
        let said = |back: usize| at.checked_sub(back).and_then(|at| words.get(at)).map(raw);
        let back = if said(1).is_some_and(|word| matches!(word, b"is" | b"was" | b"=")) { 2 } else { 1 };
        let Some(last) = said(back) else { continue };
        let last = last.strip_suffix(b":").unwrap_or(last);
        // A key to sign with, or of a row, is public.
        let kind = said(back + 1).filter(|first| KEYS.iter().any(|kind| first.eq_ignore_ascii_case(kind)));
        let name = match last.eq_ignore_ascii_case(b"key") {
            true => kind.map(|first| [first, b"_", last].concat()),
            // An option has its value as its own.
            false => Some(last.to_vec()).filter(|last| !last.starts_with(b"-")),
        };
        let name = name.and_then(|name| String::from_utf8(name).ok());
        if let Some(name) = name.filter(|name| last_word(name.as_bytes()).is_some_and(|word| word == *name)) {
            found.push((name, value.start..value.start + length, CandidateSource::Name));
        }
    }
}

/// A name and its value with spaces between: in Redis, Apache, `.netrc`, Gradle, C's `#define`.
fn behind_a_word(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    let (name, value) = match words {
        // In `.netrc`: machine, login and password on one line.
        [first, .., name, value] if line.get(first.clone()) == Some(b"machine") => (name, value),
        [first, name, value] if line.get(first.clone()) == Some(b"#define") => (name, value),
        [name, value] if line.get(name.clone()) != Some(b"#define") => (name, value),
        _ => return,
    };
    let word = line.get(name.clone()).unwrap_or_default();
    // In Pulumi: `app:apiToken: value`.
    let word =
        word.strip_suffix(b":").and_then(|word| word.rsplit(|byte| *byte == b':').next()).unwrap_or(word);
    let raw = line.get(value.clone()).unwrap_or_default();
    let inner = match raw {
        [open @ (b'"' | b'\''), .., close] if open == close && raw.len() > 2 => {
            value.start + 1..value.end - 1
        }
        [.., b';'] => value.start..value.end - 1,
        _ => value.clone(),
    };
    if last_word(word).is_some_and(|name| name.len() == word.len()) {
        found.push((String::from_utf8_lossy(word).into_owned(), inner, CandidateSource::Name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<(String, String)> {
        let secret = |one: &NamedValue| one.2 == CandidateSource::Place || names_a_secret(&one.0);
        beside(line.as_bytes())
            .into_iter()
            .filter(secret)
            .map(|one| (one.0, line[one.1].to_owned()))
            .collect()
    }

    #[test]
    fn a_value_has_the_name_before_it() {
        for (line, name) in [
            ("const API_TOKEN: &str = \"kD93hfQ0plm4\";", "API_TOKEN"),
            ("private static final String API_KEY = \"kD93hfQ0plm4\";", "API_KEY"),
            ("    let secret = `kD93hfQ0plm4`;", "secret"),
            ("$mailer->Password = \"kD93hfQ0plm4\";", "Password"),
            ("db: { user: 'x', password: 'kD93hfQ0plm4', database: 'x' }", "password"),
            ("my %c = (smtp_password => 'kD93hfQ0plm4', x => 1)", "smtp_password"),
            ("  # config.secret_key = 'kD93hfQ0plm4'", "config.secret_key"),
            ("define( 'DB_PASSWORD', 'kD93hfQ0plm4' );", "DB_PASSWORD"),
            ("#define WIFI_PASSWORD \"kD93hfQ0plm4\"", "WIFI_PASSWORD"),
            ("  keyPassword 'kD93hfQ0plm4'", "keyPassword"),
            ("  password kD93hfQ0plm4", "password"),
            ("fastcgi_pass_token kD93hfQ0plm4;", "fastcgi_pass_token"),
            ("<nexus.password>kD93hfQ0plm4</nexus.password>", "nexus.password"),
            ("<string name=\"client_token\">kD93hfQ0plm4</string>", "client_token"),
            ("jdbc:mysql://db/x?user=x&password=kD93hfQ0plm4&ssl=1", "password"),
            ("CREATE USER x IDENTIFIED BY 'kD93hfQ0plm4';", "password"),
            ("CREATE ROLE x PASSWORD 'kD93hfQ0plm4';", "password"),
            ("curl -H 'X-Api-Key: kD93hfQ0plm4' http://h", "X-Api-Key"),
            ("{ \"name\": \"API_KEY\", \"value\": \"kD93hfQ0plm4\" }", "API_KEY"),
            (r#"{"msg":"{\"password\":\"kD93hfQ0plm4\"}"}"#, "password"),
            ("$cfg['db']['password'] = 'kD93hfQ0plm4';", "password"),
            ("<entry key=\"api.secret\">kD93hfQ0plm4</entry>", "api.secret"),
            ("var apiToken string = \"kD93hfQ0plm4\"", "apiToken"),
            ("@token ||= 'kD93hfQ0plm4'", "token"),
            ("API_TOKEN ?= \"kD93hfQ0plm4\"", "API_TOKEN"),
            (r#"{ "a.env": "MODE=x\nAPI_TOKEN=kD93hfQ0plm4\n" }"#, "API_TOKEN"),
            ("curl -H 'Api-Key:  kD93hfQ0plm4'", "Api-Key"),
            ("  app:apiToken: kD93hfQ0plm4", "apiToken"),
            ("machine h login app password kD93hfQ0plm4", "password"),
            ("SET PASSWORD FOR x = PASSWORD('kD93hfQ0plm4');", "password"),
            ("password = \"\"\"kD93hfQ0plm4\"\"\"", "password"),
            ("+DB_PASSWORD=kD93hfQ0plm4", "DB_PASSWORD"),
            ("DB_PASSWORD ?= kD93hfQ0plm4", "DB_PASSWORD"),
            ("args = [\"--api-key\", \"kD93hfQ0plm4\"]", "api-key"),
            ("\"value\": \"Bearer kD93hfQ0plm4\"", "authorization"),
        ] {
            let all = shown(line);
            assert!(all.contains(&(name.to_owned(), "kD93hfQ0plm4".to_owned())), "{line}: {all:?}");
        }
    }

    #[test]
    fn a_name_in_a_sentence_has_the_long_value_after_it() {
        let value = "9f86d081884c7d659a2feaa0c55ad015";
        for (line, name) in [
            ("datadog TOKEN {}", "TOKEN"),
            ("acme API_TOKEN {} of 2024", "API_TOKEN"),
            ("The token is {}.", "token"),
            ("acme api key {}", "api_key"),
            ("got secret: {}, and more", "secret"),
        ] {
            let line = line.replace("{}", value);
            let all = shown(&line);
            assert!(all.contains(&(name.to_owned(), value.to_owned())), "{line}: {all:?}");
        }
        for line in [
            "token at {}",
            "commit {} fixes the token",
            "the key {}",
            "signing key {}",
            "the token 9f86d081 of it",
        ] {
            assert!(shown(&line.replace("{}", value)).is_empty(), "{line}");
        }
    }

    #[test]
    fn what_is_no_setting_has_no_name() {
        for line in [
            "if password == \"kD93hfQ0plm4\" {",
            "docker run -p 8080:80 mysql:8",
            "mysql -p",
            "\"AWS::IAM::AccessKey\": \"kD93hfQ0plm4\",",
            "log(\"the password\", \"kD93hfQ0plm4\")",
            "<password></password>",
            "read the password",
            "'",
            "\\\"",
            "=\"",
        ] {
            let all = shown(line);
            assert!(
                all.iter().all(|(_, value)| value != "kD93hfQ0plm4" && value != "8080:80"),
                "{line}: {all:?}"
            );
        }
    }
}
