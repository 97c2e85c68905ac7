use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use crate::Kind;
use crate::broken::Broken;
use crate::example::{for_missing, for_wrong_type};
use crate::file_shape::FileShape;
use crate::mistake::{Mistake, U16_FORM, is_plain};
use crate::mistakes::{Mistakes, Read};
use crate::repair::{NOWHERE, Sought, Taken, put_in, take_out};
use crate::suggest::likely;

/// How many mistakes of form are looked for: after each, the whole text is read again.
const ROUNDS_MAX: usize = 100;
/// How many errors of the grammar are looked at.
const SYNTAX_MAX: usize = 100;
/// How deep tables and lists are in each other at most; the format has no more than half of it. Deeper ones would exhaust the
/// stack of what reads them.
const DEPTH_MAX: usize = 24;
/// The grammar's error of a key that stands twice, also where the parser has lost its place.
const TWICE: &str = "duplicate key";

/// Reads the text into its shape. Every mistake of form is noted with its position, and repeats none of the text but unknown
/// keys. What has such a mistake is left out of the shape, or is an empty value of its type; [`Broken`] says where.
pub(crate) fn parse_shape(text: &str, all: &mut Mistakes) -> Read<(FileShape, Broken)> {
    // Distinguish first: text that is not TOML at all, and TOML whose keys are wrong.
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        note_syntax(text, errors, all);
        return None;
    }
    let span = document.span();
    let mut document = Spanned::new(span, DeValue::Table(document.into_inner()));
    if !is_within(document.get_ref(), DEPTH_MAX) {
        all.push(Mistake::new(
            Kind::Syntax,
            "tables or lists are deeper in each other than any of this format",
        ));
        return None;
    }
    let mut broken = Broken::default();
    for _ in 0..ROUNDS_MAX {
        let error = match FileShape::deserialize(ValueDeserializer::from(document.clone())) {
            Ok(shape) => return Some((shape, broken)),
            Err(error) => error,
        };
        if !is_mended(&error, &mut document, &mut broken, all) {
            return None;
        }
    }
    None
}

/// Whether nothing is deeper in it than this.
fn is_within(value: &DeValue<'_>, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    match value {
        DeValue::Table(table) => table.iter().all(|(_, one)| is_within(one.get_ref(), below)),
        DeValue::Array(all) => all.iter().all(|one| is_within(one.get_ref(), below)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => true,
    }
}

/// Notes the errors of the grammar: the first one of each line, as the parser goes on with the next one.
fn note_syntax(text: &str, mut errors: Vec<Error>, all: &mut Mistakes) {
    errors.truncate(SYNTAX_MAX);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    if errors.iter().any(|error| !error.message().starts_with(TWICE)) {
        errors.retain(|error| !error.message().starts_with(TWICE));
    }
    let mut line_before = None;
    for error in errors {
        let span = error.span().unwrap_or_default();
        let before = text.as_bytes().get(..span.start.min(text.len())).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        if line_before.replace(line) != Some(line) {
            let key = text.get(span.clone()).filter(|key| error.message() == TWICE && is_plain(key));
            let key = key.map(|key| format!(" `{key}`")).unwrap_or_default();
            let why = format!("not TOML: {}{key}", without_quotes(error.message()));
            all.push(Mistake::new(Kind::Syntax, why).at(&span));
        }
    }
}

/// Notes a mistake of form, and changes the document so that the rest of it can be read; `false`: it cannot be.
fn is_mended(
    error: &Error,
    document: &mut Spanned<DeValue<'_>>,
    broken: &mut Broken,
    all: &mut Mistakes,
) -> bool {
    let (message, span) = (error.message(), error.span().unwrap_or_default());
    if span.start == NOWHERE {
        return false;
    }
    if let Some((written, known)) = unknown_field(message) {
        all.push(Mistake::unknown_key(written, &known).at(&span));
        let taken = take_out(document, &Sought::Key(span));
        let Some(Taken { table, key, .. }) = taken else { return false };
        // A key that was meant by this one is not missing too.
        for key in likely(written, &known).into_iter().chain([key.as_str()]) {
            broken.add(&table, key);
        }
        return true;
    }
    if let Some(key) = missing_field(message) {
        let table = put_in(document, &span, key);
        if table.as_ref().is_none_or(|table| !broken.is(table, key)) {
            let mistake = Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing")).at(&span);
            all.push(for_missing(key).into_iter().fold(mistake, Mistake::help));
        }
        return table.map(|table| broken.add(&table, key)).is_some();
    }
    let taken = take_out(document, &Sought::Value(span.clone()));
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| without_quotes(expected));
    let help = taken.as_ref().zip(expected.as_deref());
    let help =
        help.and_then(|(taken, expected)| for_wrong_type((&taken.table, &taken.key), &taken.value, expected));
    let (key, is_item) = taken.as_ref().map_or(("", false), |taken| (taken.key.as_str(), taken.is_item));
    let mistake = match expected {
        Some(expected) => Mistake::wrong_form(key, is_item, form(&expected)),
        None => Mistake::new(Kind::WrongForm, without_quotes(message)),
    };
    all.push(help.into_iter().fold(mistake, Mistake::help).at(&span));
    taken.map(|taken| broken.add(&taken.table, &taken.key)).is_some()
}

/// What the deserializer's message expects; tables and numbers have the names of types of this program there.
fn form(expected: &str) -> &str {
    match expected {
        "u16" => U16_FORM,
        "u8" | "u32" | "u64" => "a whole number of 0 or more",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The unknown key that the deserializer's message names, and the known ones. Its messages quote the file, which may contain
/// a value by mistake: nothing else of them is kept but the names of known keys.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    // The key may have anything in it, also what looks like the end of it: known keys do not.
    let (written, tail) =
        rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once('`')).unwrap_or((rest, ""));
    Some((written, tail.split('`').skip(1).step_by(2).collect()))
}

/// The key that is missing according to the deserializer's message.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The message without anything that it quotes.
fn without_quotes(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let head = message.get(..first).unwrap_or_default();
            let tail = message.get(last..).and_then(|tail| tail.strip_prefix('"')).unwrap_or_default();
            format!("{head}…{tail}")
        }
        _ => message.lines().next().unwrap_or_default().to_owned(),
    }
}
