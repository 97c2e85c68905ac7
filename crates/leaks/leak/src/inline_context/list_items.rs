use std::ops::Range;

use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::commands::in_commands;
use crate::inline_context::program_options::names_a_program;
use crate::inline_context::words::is_quote;
use crate::names_a_secret;

/// The most items of a list that are read.
pub(crate) const ITEMS_MAX: usize = 64;

/// The longest name of a program that needs no option, bytes.
const PROGRAM_BYTES_MAX: usize = 16;

/// Options and their values in a list on one line: `["app", "--api-key", "value"]`, `run(["curl", "-u",
/// "app:value"])`.
pub(crate) fn in_lists(line: &[u8], found: &mut Vec<NamedValue>) {
    if !may_be_command(line) {
        return;
    }
    let mut at = 0;
    while let Some((items, end)) = next_list(line, at) {
        in_items(line, &items, found);
        at = end;
    }
}

/// Whether an item begins like an option or names a program that needs none. Most lists are of other things.
fn may_be_command(line: &[u8]) -> bool {
    memchr::memchr3_iter(b'"', b'\'', b'`', line).any(|quote| {
        let (before, behind) = line.split_at_checked(quote).unwrap_or_default();
        match behind {
            [_, b'-', ..] | [_, b'/', b'p', ..] | [_, b'p', b'a', b's', b's', b':', ..] | [_, b'|', ..] => {
                true
            }
            [_, b',' | b' ', ..] => {
                let near = before.get(before.len().saturating_sub(PROGRAM_BYTES_MAX)..).unwrap_or(before);
                let letters = near.iter().rev().take_while(|byte| byte.is_ascii_lowercase()).count();
                names_a_program(near.get(near.len() - letters..).unwrap_or_default(), true)
            }
            _ => false,
        }
    })
}

/// The passwords among the words of a command, each an item of a list.
pub(crate) fn in_items(text: &[u8], items: &[Range<usize>], found: &mut Vec<NamedValue>) {
    for pair in items.windows(2) {
        let [option, value] = pair else { continue };
        let raw = text.get(value.clone()).unwrap_or_default();
        if let Some(name) = option_name(text.get(option.clone()).unwrap_or_default())
            && !raw.starts_with(b"-")
            && raw.iter().all(u8::is_ascii_graphic)
        {
            found.push((name, value.clone(), CandidateSource::Place));
        }
    }
    in_commands(text, items, found);
}

/// `api-key` for `--api-key`, if it is the name of a secret.
pub(crate) fn option_name(option: &[u8]) -> Option<String> {
    let name = option.strip_prefix(b"--")?;
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| good(&byte)))?;
    names_a_secret(name).then(|| name.to_owned())
}

/// The quoted texts with only commas between them, at least two, and where they end.
fn next_list(line: &[u8], mut at: usize) -> Option<(Vec<Range<usize>>, usize)> {
    let mut items: Vec<Range<usize>> = Vec::new();
    loop {
        let open = line.get(at..)?.iter().position(|byte| is_quote(*byte)).map(|open| at + open);
        let goes_on = items.last().is_none_or(|last| {
            let between = line.get(last.end + 1..open.unwrap_or(line.len())).unwrap_or_default();
            between.trim_ascii() == b","
        });
        if items.len() >= 2 && (!goes_on || open.is_none() || items.len() >= ITEMS_MAX) {
            return Some((items, at));
        }
        let open = open?;
        if !goes_on {
            items.clear();
        }
        let quote = line.get(open)?;
        let inner = line.get(open + 1..)?;
        let Some(length) = inner.iter().position(|byte| byte == quote) else {
            return (items.len() >= 2).then_some((items, line.len()));
        };
        items.push(open + 1..open + 1 + length);
        at = open + length + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        in_lists(line.as_bytes(), &mut found);
        found.into_iter().map(|one| (one.0, &line[one.1])).collect()
    }

    #[test]
    fn an_option_and_its_value_are_two_items() {
        for (line, name) in [
            (r#"args = ["app", "--api-key", "kD93hfQ0plm4"]"#, "api-key"),
            (r#"args = ["--api-key", "kD93hfQ0plm4", "--port", "80"]"#, "api-key"),
            ("CMD ['app','--db.password','kD93hfQ0plm4']", "db.password"),
            (r#"test: ["CMD", "redis-cli", "-a", "kD93hfQ0plm4", "ping"]"#, "password"),
            (r#"run(["curl", "-u", "app:kD93hfQ0plm4", "https://h"])"#, "password"),
            (r#"ENTRYPOINT ["mysql", "-pkD93hfQ0plm4"]"#, "password"),
            (r#"{"a": "b", "args": ["x", "--token", "kD93hfQ0plm4"]}"#, "token"),
            (r#"["vault", "login", "kD93hfQ0plm4"]"#, "password"),
            (r#"['/usr/bin/rabbitmqctl' , 'change_password', 'app', 'kD93hfQ0plm4']"#, "password"),
        ] {
            assert_eq!(shown(line), [(name.to_owned(), "kD93hfQ0plm4")], "{line}");
        }
        for line in [
            r#"["--token", "--port", "80"]"#,
            r#"["--token-file", "kD93hfQ0plm4"]"#,
            r#"("--token", "kD93 hfQ0 plm4")"#,
            r#""--token" + "kD93hfQ0plm4""#,
            r#"["--token"]"#,
            r#"["--token", "kD93"#,
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn of_many_quotes_each_is_read_once() {
        for line in ["\"a\",".repeat(4_000), "\"a\";".repeat(4_000), "\"".repeat(4_001)] {
            assert!(shown(&line).is_empty());
        }
    }
}
