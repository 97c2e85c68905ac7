//! Fills templates: every slot gets a value, and its position is recorded.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::corpus::Template;
use super::place::Span;
use super::random::Random;
use super::{keys, not, passwords, providers};

/// The class of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A token of an issuer.
    Provider,
    /// A private key.
    Key,
    /// A password, or a key of one's own, without a form.
    Password,
    /// Nothing secret.
    Not,
}

/// The classes that are to be found.
pub const CLASSES: [Class; 3] = [Class::Provider, Class::Key, Class::Password];

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Key => "key",
            Self::Password => "password",
            Self::Not => "not",
        }
    }
}

/// A value in a file.
#[derive(Debug, Clone)]
pub struct Mark {
    pub class: Class,
    /// `github-pat`, `uuid`.
    pub kind: String,
    pub span: Span,
}

/// A template with values.
pub struct Filled {
    pub path: String,
    pub text: String,
    pub marks: Vec<Mark>,
}

/// `⟦class:kind⟧`; `⟦class:kind@a⟧` is the same value wherever `@a` stands in the file; `⟦class:kind|base64⟧` is written
/// otherwise.
struct Slot<'a> {
    class: Class,
    kind: &'a str,
    same: Option<&'a str>,
    written: Vec<&'a str>,
}

impl<'a> Slot<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split('|');
        let head = parts.next().unwrap_or_default();
        let (class, rest) = head.split_once(':').unwrap_or_else(|| panic!("a slot without a class: {text}"));
        let (kind, same) = rest.split_once('@').map_or((rest, None), |(kind, same)| (kind, Some(same)));
        let all = [Class::Provider, Class::Key, Class::Password, Class::Not];
        let class = all.into_iter().find(|one| one.name() == class);
        let class = class.unwrap_or_else(|| panic!("an unknown class: {text}"));
        Self { class, kind, same, written: parts.collect() }
    }

    fn value(&self, random: &mut Random) -> String {
        let value = match self.class {
            Class::Provider => providers::value(self.kind, random),
            Class::Key => keys::value(self.kind, random),
            Class::Password => passwords::value(self.kind, random),
            Class::Not => not::value(self.kind, random),
        };
        value.unwrap_or_else(|| panic!("an unknown kind: {}:{}", self.class.name(), self.kind))
    }
}

/// A value in another encoding.
fn written(value: &str, how: &str) -> String {
    match how {
        "base64" => STANDARD.encode(value),
        // With the line end that `echo` leaves.
        "echo64" => STANDARD.encode(format!("{value}\n")),
        "wrap64" => {
            let all = STANDARD.encode(value);
            all.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
        }
        "escaped" => value.replace('\n', "\\n"),
        "percent" => value.bytes().map(percent).collect(),
        // Colours begin within it.
        "ansi" => {
            let (head, rest) = value.split_at(value.len() / 2);
            format!("{head}\u{1b}[0m\u{1b}[33m{rest}")
        }
        "crlf" => value.replace('\n', "\r\n"),
        _ => panic!("an unknown way to write: {how}"),
    }
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Fills a template. The same seed gives the same values.
pub fn fill(template: &Template, seed: u64) -> Filled {
    let mut filled = Filled { path: template.path.clone(), text: String::new(), marks: Vec::new() };
    let mut same: BTreeMap<String, String> = BTreeMap::new();
    // A visible sign stands for the one that begins a terminal's codes.
    let text = template.text.replace('␛', "\u{1b}");
    let mut rest = text.as_str();
    let mut count = 0;
    while let Some((before, behind)) = rest.split_once('⟦') {
        let (inner, after) =
            behind.split_once('⟧').unwrap_or_else(|| panic!("{}: an open slot", template.path));
        filled.text.push_str(before);
        let slot = Slot::read(inner);
        count += 1;
        let mut random = Random::of(seed, &[&template.path, inner, &count.to_string()]);
        let value = match slot.same {
            Some(name) => {
                let key = format!("{}:{}@{name}", slot.class.name(), slot.kind);
                same.entry(key).or_insert_with(|| slot.value(&mut random)).clone()
            }
            None => slot.value(&mut random),
        };
        let value = slot.written.iter().fold(value, |value, how| written(&value, how));
        // Further lines are indented like the first.
        let line = filled.text.rsplit('\n').next().unwrap_or_default();
        let indent: String = line.chars().take_while(|letter| *letter == ' ').collect();
        let value = value.replace('\n', &format!("\n{indent}"));
        let start = position(&filled.text);
        filled.text.push_str(&value);
        let span = Span { start, end: position(&filled.text) };
        filled.marks.push(Mark { class: slot.class, kind: slot.kind.to_owned(), span });
        rest = after;
    }
    filled.text.push_str(rest);
    filled
}

/// Where the next letter will stand.
fn position(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.bytes().filter(|byte| *byte == b'\n').count() + 1, last.chars().count() + 1)
}
