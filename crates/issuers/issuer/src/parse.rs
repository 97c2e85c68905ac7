use std::ops::Range;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use toml::de::{DeTable, DeValue};

use crate::check::{Contradiction, check};
use crate::document::Document;

/// The largest spec that is read, in bytes.
const SPEC_BYTES_MAX: usize = 256 * 1024;

/// Why a text is not a spec: the position, the fault, and the word that was probably meant. It repeats no value of the
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The file as it was named to [`crate::Spec::parse`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The page under docs/errors: `K0100` where the form is wrong, `K0100` where its parts do not fit together.
    pub code: Code,
}

impl std::fmt::Display for SpecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for SpecError {}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        let attempted = format!("read the issuer spec {}", error.file);
        let mut failure = Failure::new(Class::Permanent, error.code, attempted);
        failure.help = error.help.clone();
        failure.because(error)
    }
}

/// Reads and judges a spec.
pub(crate) fn parse(text: &str, file: &str) -> Result<Document, SpecError> {
    let fail = |span: Range<usize>, message: String, help: Option<String>, code: Code| {
        let (line, column) = position(text, span.start);
        SpecError { file: file.to_owned(), line, column, message, help, code }
    };
    if text.len() > SPEC_BYTES_MAX {
        return Err(fail(0..0, format!("a spec is at most {SPEC_BYTES_MAX} bytes"), None, Code::SpecInvalid));
    }
    let document: Document = toml::from_str(text).map_err(|error| {
        let (message, help) = retell(error.message());
        fail(error.span().unwrap_or(0..0), message, help, Code::SpecInvalid)
    })?;
    check(&document).map_err(|Contradiction { path, message }| {
        let help = Some("the form of a spec is described in docs/guides/write-an-issuer.md".to_owned());
        fail(locate(text, &path), message, help, Code::SpecInvalid)
    })?;
    Ok(document)
}

/// The parser's message without any value of the text: it quotes those in "invalid type" and the like.
fn retell(message: &str) -> (String, Option<String>) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    for (start, what) in [("unknown field ", "key"), ("unknown variant ", "word")] {
        if !message.starts_with(start) {
            continue;
        }
        let Some((written, known)) = quoted.split_first() else { continue };
        let near = nearest(written, known);
        let help = near.map_or_else(
            || format!("known here: {}", known.join(", ")),
            |near| format!("did you mean `{near}`? Known here: {}", known.join(", ")),
        );
        return (format!("unknown {what} `{}`", shorten(written)), Some(help));
    }
    if message.starts_with("missing field ") {
        let name = quoted.first().copied().unwrap_or_default();
        return (format!("`{name}` is missing"), None);
    }
    if let Some((kind, expected)) = message.rsplit_once("expected ")
        && kind.starts_with("invalid ")
    {
        return (format!("this must be {expected}"), None);
    }
    if message.starts_with("duplicate ") {
        return ("this key stands here twice".to_owned(), None);
    }
    (message.lines().next().unwrap_or_default().to_owned(), None)
}

fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|name| (strsim::damerau_levenshtein(written, name), *name));
    let near = scored.filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// A message repeats a key unless it is long: somebody may have pasted a value in its place.
fn shorten(written: &str) -> String {
    const KEY_CHARS_MAX: usize = 24;
    if written.chars().count() <= KEY_CHARS_MAX { written.to_owned() } else { "…".to_owned() }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The line and the column of a path of keys, from 1.
pub(crate) fn place(text: &str, path: &str) -> (usize, usize) {
    position(text, locate(text, path).start)
}

/// The position of a path of keys (`op.mint.take`), in which an item of an array is its number (`op.verify.dead.0`); or of
/// the longest part of the path that the text has.
fn locate(text: &str, path: &str) -> Range<usize> {
    let Ok(root) = DeTable::parse(text) else { return 0..0 };
    let mut here: Option<(Range<usize>, &DeValue<'_>)> = None;
    for key in path.split('.') {
        let value = here.as_ref().map(|(_, value)| *value);
        let below = match value {
            None => entry(root.get_ref(), key),
            Some(DeValue::Table(table)) => entry(table, key),
            Some(DeValue::Array(items)) => {
                let item = key.parse::<usize>().ok().and_then(|number| items.get(number));
                item.map(|item| (item.span(), item.get_ref()))
            }
            Some(
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_),
            ) => None,
        };
        let Some(below) = below else { break };
        here = Some(below);
    }
    here.map_or(0..0, |(span, _)| span)
}

/// A key of a table: its position, and its value.
fn entry<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(Range<usize>, &'t DeValue<'i>)> {
    table.get_key_value(key).map(|(name, value)| (name.span(), value.get_ref()))
}
