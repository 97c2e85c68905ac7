//! How a rotation would write a value at its place.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use keyroll_copy::{FILE_BYTES_MAX, Format, Slot, Template};
use keyroll_leak::{is_distinct, names_a_secret};
use keyroll_secret::SecretBytes;

use crate::kinds::format_of;
use crate::{Place, Survey, ValueId};

/// The longest name of a value, and of a user in a URL, bytes: a longer text may itself be a secret.
const NAME_BYTES_MAX: usize = 64;

/// The longest scheme of a URL, bytes: `postgresql+psycopg`.
const SCHEME_BYTES_MAX: usize = 20;

/// How a value is found in its file again after it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writable {
    /// By its slot.
    Slot(Format, Slot),
    /// By the text around it; `{value}` stands for the value.
    Within(String),
}

/// How a rotation would write a value in a line of a file, under a name. The result was tried: it finds this value in
/// the file as it is now.
///
/// # Errors Why the value cannot be found again.
/// Why nothing finds it.
pub fn writable(
    survey: &Survey,
    (path, line): (&Path, u64),
    name: &str,
    value: ValueId,
) -> Result<Writable, &'static str> {
    let bytes = read(path)?;
    let bytes = bytes.expose();
    let holds = |format: Format, slot: &Slot| {
        let found = format.read(bytes, slot).ok().flatten();
        found.is_some_and(|found| survey.values.of(&found) == Some(value))
    };
    let known = format_of(path, bytes);
    let here =
        |place: &Place| matches!(place, Place::File { path: own, line: at } if own == path && *at == line);
    let slots = survey.sightings.iter().filter(|one| one.value == value && here(&one.place));
    let slots: Vec<&Slot> = slots.filter_map(|one| one.slot.as_ref()).collect();
    if let Some(format) = known
        && let Some(slot) = slots.into_iter().find(|slot| holds(format, slot))
    {
        return Ok(Writable::Slot(format, slot.clone()));
    }
    let variable = Slot::Variable(name.to_owned());
    let others = [(Format::Dotenv, variable), (Format::Whole, Slot::Whole)];
    if let Some((format, slot)) = others.into_iter().find(|(format, slot)| holds(*format, slot)) {
        return Ok(Writable::Slot(format, slot));
    }
    within(survey, bytes, line, name, value)
}

/// A file with a copy is small: a file in which the value is one of many things is not rewritten.
fn read(path: &Path) -> Result<SecretBytes, &'static str> {
    let meta = path.metadata().map_err(|_| "its file cannot be read")?;
    if !meta.is_file() {
        return Err("it is not a regular file");
    }
    if meta.len() > FILE_BYTES_MAX as u64 {
        return Err("its file is too large to be written as a whole");
    }
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX + 1);
    let file = File::open(path).map_err(|_| "its file cannot be read")?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|_| "its file cannot be read")?;
    Ok(SecretBytes::new(bytes))
}

/// The text around a value in its line that finds this value and nothing else. keyroll.toml contains this text
/// unencrypted, and the text before a value may be another secret that was not found yet.
fn within(
    survey: &Survey,
    bytes: &[u8],
    line: u64,
    name: &str,
    value: ValueId,
) -> Result<Writable, &'static str> {
    let mut why = "no form that is known finds it there";
    let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1)).ok_or(why)?;
    let text = bytes.split(|byte| *byte == b'\n').nth(at).ok_or(why)?;
    let known = survey.values.get(value).ok_or(why)?;
    let here = survey.sightings.iter().filter(|one| one.value == value);
    let names: Vec<&str> = here.filter_map(|one| one.name.as_deref()).chain([name]).collect();
    for start in 0..text.len() {
        let (before, rest) = text.split_at(start);
        let Some(length) = known.begins(rest) else { continue };
        let behind = rest.get(length..).unwrap_or_default().first();
        let behind = match behind.map(|byte| char::from(*byte)) {
            None => String::new(),
            Some(mark) if mark == ' ' || mark.is_ascii_punctuation() => mark.to_string(),
            // The value continues.
            Some(_) => continue,
        };
        let Ok(before) = std::str::from_utf8(before) else { continue };
        let names = |found: &str| names.iter().any(|name| name.ends_with(found));
        let literals = literals(before, &names);
        if literals.is_empty() {
            why = "the text before it on its line may be another secret";
        }
        let holds_none = |text: &&str| !survey.values.stand_in(text.as_bytes());
        for before in literals.into_iter().filter(holds_none) {
            let [before, behind] = [before, &behind].map(keyroll_template::escape);
            for hole in ["{value}", "{value:raw}"] {
                let template = format!("{before}{hole}{behind}");
                let finds =
                    Template::parse(&template).map(|template| template.find(bytes)).unwrap_or_default();
                let same = |found: &keyroll_copy::FieldValues| {
                    found.get("value").is_some_and(|found| survey.values.of(found) == Some(value))
                };
                if !finds.is_empty() && finds.iter().all(same) {
                    return Ok(Writable::Within(template));
                }
            }
        }
    }
    Err(why)
}

/// The ends of the text before a value that contain nothing but its name, the shortest first: the name with its
/// separator and its quote, then with the mark before it. In a URL: the scheme and the user. None if the text contains
/// anything else.
fn literals<'t>(before: &'t str, known: &dyn Fn(&str) -> bool) -> Vec<&'t str> {
    let word = before.rsplit([' ', '"', '\'', '`', '<', '>', '|', ';']).next().unwrap_or_default();
    if word.contains("://") {
        return url(before).into_iter().collect();
    }
    let unquoted = before.strip_suffix(['"', '\'', '`']).unwrap_or(before).trim_end_matches(' ');
    let signs = ["=>", ":=", "=", ":"];
    let Some(left) = signs.iter().find_map(|sign| unquoted.strip_suffix(sign)) else { return Vec::new() };
    let left = left.trim_end_matches(' ');
    let left = left.strip_suffix(']').unwrap_or(left);
    let left = left.strip_suffix(['"', '\'']).unwrap_or(left);
    let outside =
        left.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    let name = left.get(outside.len()..).unwrap_or_default();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !(known(name) || names_a_secret(name)) {
        return Vec::new();
    }
    let own = before.get(outside.len()..);
    // systemd and supervisord have `environment=NAME=`.
    let directive = outside.trim_start().eq_ignore_ascii_case("environment=");
    let more = match outside.chars().last() {
        _ if directive => before.get(outside.len() - outside.trim_start().len()..),
        Some(mark) if " \"'`,;([{".contains(mark) => before.get(outside.len() - mark.len_utf8()..),
        Some('\t') | None => None,
        Some(_) => return Vec::new(),
    };
    own.into_iter().chain(more).collect()
}

/// `postgres://app:`; a user that does not look like a name may be a token.
fn url(before: &str) -> Option<&str> {
    let (left, user) = before.rsplit_once("://")?;
    let user = user.strip_suffix(':')?;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !user.bytes().all(named) || user.len() > NAME_BYTES_MAX || is_distinct(user.as_bytes()) {
        return None;
    }
    let outside = left.trim_end_matches(|letter: char| letter.is_ascii_lowercase() || letter == '+');
    let scheme = left.len() - outside.len();
    let apart = !outside.ends_with(|letter: char| letter.is_alphanumeric() || "_.-".contains(letter));
    (apart && (1..=SCHEME_BYTES_MAX).contains(&scheme)).then(|| before.get(outside.len()..))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_value_is_taken_of_what_stands_before_it() {
        let known = |name: &str| name == "KEY";
        for (before, wanted) in [
            ("api_key = ", &["api_key = "][..]),
            ("  apiKey: '", &["apiKey: '", " apiKey: '"]),
            ("environment=KEY=\"", &["KEY=\"", "environment=KEY=\""]),
            ("Environment=\"A_PASSWORD=x\" \"B_TOKEN=", &["B_TOKEN=", "\"B_TOKEN="]),
            ("os.environ[\"KEY\"] = \"", &["KEY\"] = \"", "\"KEY\"] = \""]),
            ("run --api-key=", &["--api-key=", " --api-key="]),
            ("u=postgres+tls://app:", &["postgres+tls://app:"]),
        ] {
            assert_eq!(literals(before, &known), wanted, "{before}");
        }
        for before in [
            "",
            "word ",
            "login word:",
            "login token ",
            "app:word:",
            "db:word:token:",
            "A_PASSWORD=word:token=",
            "-H 'Authorization: Bearer ",
            "u=https://h/word?token=",
            "u=https://h/?a=word&token=",
            "u=https://k3j4h5g6f7d8:",
            "u=https://a:word:",
            "u=word9https://a:",
        ] {
            assert_eq!(literals(before, &known), [""; 0], "{before}");
        }
    }
}
