use std::ops::Range;

use keyroll_leak::{Rule, Rules, names_a_secret, no_secret, passwords_in};

/// A value that may be a secret, in a text.
pub(crate) struct Candidate {
    /// Where it stands.
    pub(crate) span: Range<usize>,
    /// The name before it.
    pub(crate) name: Option<String>,
    /// What its form says.
    pub(crate) rule: Option<&'static Rule>,
}

/// The longest line that is read by name, bytes: what is longer was written by a machine for another.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Everything in a text that looks like a credential, or whose name says that it is one.
pub(crate) fn in_text(text: &[u8], rules: &'static Rules) -> Vec<Candidate> {
    let mut found = Vec::new();
    rules.find(text, &mut |finding| {
        let name = name_before(text, finding.span.start);
        found.push(Candidate { span: finding.span, name, rule: Some(finding.rule) });
    });
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n' || *byte == 0) {
        let end = start + line.len();
        if line.len() <= LINE_BYTES_MAX {
            in_line(text, start..end, rules, &mut found);
        }
        start = end;
    }
    found
}

fn in_line(text: &[u8], line: Range<usize>, rules: &'static Rules, found: &mut Vec<Candidate>) {
    let known = |found: &[Candidate], span: &Range<usize>| {
        found.iter().any(|one| one.span.start < span.end && span.start < one.span.end)
    };
    let bytes = text.get(line.clone()).unwrap_or_default();
    for span in passwords_in(bytes) {
        let span = line.start + span.start..line.start + span.end;
        let value = text.get(span.clone()).unwrap_or_default();
        if no_secret(value).is_none() && !known(found, &span) {
            let name = name_before(text, span.start);
            found.push(Candidate { span, name, rule: None });
        }
    }
    let Some((name, value)) = assignment(bytes) else { return };
    let span = line.start + value.start..line.start + value.end;
    let value = text.get(span.clone()).unwrap_or_default();
    let rule = rules.of(value);
    if (rule.is_some() || names_a_secret(&name)) && no_secret(value).is_none() && !known(found, &span) {
        found.push(Candidate { span, name: Some(name), rule });
    }
}

/// `NAME=value`, `name: "value"`, `export NAME='value'`: the name and where the value stands.
fn assignment(line: &[u8]) -> Option<(String, Range<usize>)> {
    let sign = line.iter().position(|byte| matches!(byte, b'=' | b':'))?;
    let before = String::from_utf8_lossy(line.get(..sign)?).into_owned();
    let name = before.trim().trim_start_matches("- ").trim_start_matches("export ").trim();
    let name = name.trim_matches(['"', '\'']);
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(good) {
        return None;
    }
    let behind = line.get(sign + 1..)?;
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let lead = behind.iter().take_while(|byte| blank(byte)).count();
    let rest = behind.get(lead..)?;
    let rest = rest.get(..rest.iter().rposition(|byte| !blank(byte) && *byte != b',')? + 1)?;
    let (start, length) = match rest.split_first()? {
        (quote @ (b'"' | b'\''), inner) => (lead + 1, inner.iter().position(|byte| byte == quote)?),
        _ => (lead, rest.windows(2).position(|two| two == b" #").unwrap_or(rest.len())),
    };
    let start = sign + 1 + start;
    Some((name.to_owned(), start..start + length))
}

/// The name of what stands in the same line.
fn name_before(text: &[u8], at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let line = before.iter().rposition(|byte| matches!(byte, b'\n' | 0)).map_or(0, |last| last + 1);
    let mut upto = before.get(line..)?.to_vec();
    // Something for the value to be, whose end is not known here.
    upto.push(b'x');
    let closing: Vec<u8> =
        upto.iter().rev().find(|byte| matches!(byte, b'"' | b'\'')).copied().into_iter().collect();
    upto.extend(closing);
    assignment(&upto).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(Option<String>, String)> {
        let rules = Rules::shipped().unwrap();
        let all = in_text(text.as_bytes(), rules);
        all.into_iter().map(|one| (one.name, text[one.span].to_owned())).collect()
    }

    #[test]
    fn values_are_found_by_their_names_in_every_common_spelling() {
        let value = "kD93hfQ0plm4";
        for line in [
            format!("DB_PASSWORD={value}\n"),
            format!("export DB_PASSWORD='{value}' # mine\n"),
            format!("  \"DB_PASSWORD\": \"{value}\",\n"),
            format!("- DB_PASSWORD={value}"),
            format!("DB_PASSWORD = {value} # mine\r\n"),
        ] {
            assert_eq!(shown(&line), [(Some("DB_PASSWORD".to_owned()), value.to_owned())], "{line}");
        }
        assert!(shown("DB_PASSWORD=${OTHER}\nDB_PASSWORD=\nHOME=/root/of/all\n").is_empty());
    }

    #[test]
    fn a_connection_string_is_a_copy_of_its_password() {
        let text = "DATABASE_URL=postgres://app:kD93hfQ0plm4@db/x\n";
        assert_eq!(shown(text), [(Some("DATABASE_URL".to_owned()), "kD93hfQ0plm4".to_owned())]);
    }
}
