use std::ops::Range;

use crate::at::At;
use crate::suggest::{by_part, likely, nearest};
use crate::{ConfigError, Kind, Position};

/// The longest key that an error repeats although it resembles no known one, bytes. Only small letters: anything else may be a
/// value.
const ECHO_BYTES_MAX: usize = 24;

/// What must stand where a port or another number of that size is read.
pub(crate) const U16_FORM: &str = "a whole number from 0 to 65535";

/// Keys under which somebody may write the value itself.
const VALUE_KEYS: [&str; 6] = ["value", "password", "token", "key", "api_key", "secret"];

/// Tables of a secret, and their keys, which somebody may write beside them.
const TABLES: [(&str, &[&str]); 2] = [
    ("revoke", &["require", "old_idle_for", "soak", "decide"]),
    ("roll", &["canary", "bake", "ask", "pause_between", "hosts_at_once"]),
];

/// A mistake in the file with its byte range; becomes a [`ConfigError`] when the text is known.
#[derive(Debug)]
pub(crate) struct Mistake {
    kind: Kind,
    span: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

impl Mistake {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, span: None, message: message.into(), help: None }
    }

    /// The fault for an unknown word; suggests the nearest known one and does not repeat the word itself.
    pub(crate) fn one_of(key: &str, text: &At<String>, words: &[&str]) -> Self {
        let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let fault =
            Self::new(Kind::WrongForm, format!("`{key}` must be one of {}", list.join(", "))).at(&text.span);
        match nearest(&text.value, words.iter().copied()) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault,
        }
    }

    /// The fault for a value of the wrong type, or for an item of that type in a list. `expected`: what must stand there.
    pub(crate) fn wrong_form(key: &str, is_item: bool, expected: &str) -> Self {
        let what = match (is_plain(key), is_item) {
            (true, false) => format!("`{key}` has"),
            (true, true) => format!("an item of `{key}` has"),
            (false, _) => "the value has".to_owned(),
        };
        Self::new(Kind::WrongForm, format!("{what} the wrong form: {expected} must stand here"))
    }

    /// The fault for a key that is unknown in its table; suggests those that were most likely meant.
    pub(crate) fn unknown_key(written: &str, known: &[&str]) -> Self {
        let fault = |shown: bool| {
            let text: String = written.chars().filter(|c| !c.is_control()).take(64).collect();
            let named = if shown { format!("unknown key `{text}`") } else { "unknown key".to_owned() };
            Self::new(Kind::UnknownKey, named)
        };
        let belongs = |(table, keys): &&(&str, &[&str])| known.contains(table) && keys.contains(&written);
        if let Some((table, _)) = TABLES.iter().find(belongs) {
            return fault(true).help(format!("`{written}` belongs to the table [secrets.NAME.{table}]"));
        }
        let meant = likely(written, known);
        if !meant.is_empty() {
            return fault(true).help(did_you_mean(&meant));
        }
        if VALUE_KEYS.contains(&written) {
            return fault(true).help("this file never holds a value: give it to `keyroll secret add`");
        }
        let is_word = written.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
        let shown = written.len() <= ECHO_BYTES_MAX && is_word;
        match by_part(written, known).as_slice() {
            [] => fault(shown).help(format!("the keys here are: {}", known.join(", "))),
            meant => fault(shown).help(did_you_mean(meant)),
        }
    }

    /// Sets the position, unless a more exact one is already known.
    pub(crate) fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The byte at which it stands; none: it is about the whole file.
    pub(crate) fn start(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.start)
    }

    /// Whether both say the same of the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.start(), &self.message) == (other.start(), &other.message)
    }

    pub(crate) fn into_error(self, text: &str, file: &str) -> ConfigError {
        let at = self.span.map(|span| Position::of(text, span.start));
        ConfigError::new(self.kind, file, self.message, at, self.help)
    }
}

/// Whether a key is written as those of the format are, and is no longer; in a table of names it may be anything.
pub(crate) fn is_plain(key: &str) -> bool {
    (1..=ECHO_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The help that suggests keys or words.
pub(crate) fn did_you_mean(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("did you mean {}?", quoted.join(" or "))
}
