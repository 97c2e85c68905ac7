//! YAML, and Compose files, which are YAML in which `$` stands for variables and `$$` for itself.
//!
//! Readers follow YAML 1.1 (PyYAML, Ruby's Psych) or 1.2 (Go, Rust): a plain scalar counts as a text only where both
//! agree.

use std::ops::Range;

use keyroll_secret::SecretBytes;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::spot::{MADE_OF_OTHERS, Spelling, Spot, ambiguous, line_of};
use crate::tree::{NodeContent, Tree};
use crate::{CopyError, quoted};

/// How a text of a YAML file is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Style {
    quotes: Quotes,
    /// Whether `$` is written `$$`.
    dollars: bool,
    /// The name before the value in the same text, as in `- NAME=value`.
    item: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Plain,
    Single,
    Double,
}

impl Spelling for Style {
    /// Quotes stay where possible. A plain text gets quotes where it would otherwise be read as something else.
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let value = quoted::text(new)?;
        // Reserved in full: a text that grows leaves a copy of the value in freed memory.
        let mut all =
            Vec::with_capacity(value.len() * 2 + self.item.as_ref().map_or(0, |name| name.len() + 1));
        if let Some(name) = &self.item {
            all.extend_from_slice(name.as_bytes());
            all.push(b'=');
        }
        for byte in value.bytes() {
            all.push(byte);
            if byte == b'$' && self.dollars {
                all.push(byte);
            }
        }
        let all = SecretBytes::new(all);
        let text = quoted::text(&all)?;
        Ok(match self.quotes {
            Quotes::Plain if plain(text) => SecretBytes::new(text.as_bytes().to_vec()),
            Quotes::Single if !text.contains(quoted::special) => single(text),
            Quotes::Plain | Quotes::Single | Quotes::Double => quoted::double(text),
        })
    }

    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        quoted::carries(alphabet)
    }

    fn item(&self) -> Option<&str> {
        self.item.as_deref()
    }
}

fn single(text: &str) -> SecretBytes {
    let mut out = Vec::with_capacity(text.len() * 2 + 2);
    out.push(b'\'');
    for byte in text.bytes() {
        out.push(byte);
        if byte == b'\'' {
            out.push(byte);
        }
    }
    out.push(b'\'');
    SecretBytes::new(out)
}

/// Words that are not texts for readers of YAML 1.1 or 1.2.
const WORDS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "none"];

/// Whether a text can be written without quotes: it begins with a letter and has none of YAML's own marks.
fn plain(text: &str) -> bool {
    let marks = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./+=@^~".contains(&byte);
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text.bytes().all(marks) && !is_word(text)
}

fn is_word(text: &str) -> bool {
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a plain scalar is a text for every reader.
fn is_text(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all = |text: &str, marks: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || marks.contains(&byte))
    };
    let based = ["0x", "0X", "0o", "0b"].iter().any(|base| unsigned.starts_with(base));
    let exponent = unsigned.split_once(['e', 'E']).is_some_and(|(mantissa, power)| {
        all(mantissa, b"_.") && all(power.strip_prefix(['+', '-']).unwrap_or(power), b"_")
    });
    let date = text.len() > 5
        && text.as_bytes().iter().take(4).all(u8::is_ascii_digit)
        && text.as_bytes().get(4) == Some(&b'-');
    let number =
        based || exponent || all(unsigned, b"_.:,") || unsigned.strip_prefix('.').is_some_and(is_word);
    !(text.is_empty() || matches!(text, "~" | "=" | "<<") || is_word(text) || date || number)
}

pub(crate) fn tree(text: &str, compose: bool) -> Result<Tree, CopyError> {
    // The parser counts characters.
    let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut building = Building { text, offsets, compose, tree: Tree::new(), open: Vec::new(), documents: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = building.byte(error.marker().index());
            CopyError::Malformed { format: "YAML", line: line_of(text.as_bytes(), at) }
        })?;
        building.take(event, span)?;
    }
    Ok(building.tree)
}

/// A table or a list that is still open.
struct Open {
    index: usize,
    /// In a table: the name that was read and waits for its node.
    name: Option<Option<String>>,
}

struct Building<'a> {
    text: &'a str,
    offsets: Vec<usize>,
    compose: bool,
    tree: Tree,
    open: Vec<Open>,
    documents: usize,
}

impl Building<'_> {
    fn byte(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), CopyError> {
        let span = self.byte(span.start.index())..self.byte(span.end.index());
        let at = span.start;
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let why = "a second document in one file";
                    return Err(ambiguous(self.text.as_bytes(), at, why));
                }
            }
            Event::Alias(_) => {
                self.put(
                    at,
                    None,
                    NodeContent::Value(Spot::doubtful(span, "a reference to a text in another place")),
                );
            }
            Event::Scalar(value, style, anchor, tag) => {
                let name = self.names().then(|| value.to_string());
                let spot = match (anchor, tag.is_some()) {
                    (0, false) => self.scalar(&value, style, span),
                    (_, true) => Spot::doubtful(span, "a text with a tag"),
                    (_, false) => Spot::doubtful(span, "a text that is referred to elsewhere"),
                };
                self.put(at, name, NodeContent::Value(spot));
            }
            Event::SequenceStart(..) => {
                let index = self.put(at, None, NodeContent::List(Vec::new()));
                self.open.push(Open { index, name: None });
            }
            Event::MappingStart(..) => {
                let index = self.put(at, None, NodeContent::Table(Vec::new()));
                self.open.push(Open { index, name: None });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
        }
        Ok(())
    }

    /// Adds a node to the innermost open one. In a table every other node is a name.
    fn put(&mut self, at: usize, text: Option<String>, kind: NodeContent) -> usize {
        let index = self.tree.add(at, kind);
        if let Some(parent) = self.open.last_mut() {
            match self.tree.node_mut(parent.index).map(|node| &mut node.kind) {
                Some(NodeContent::List(all)) => all.push(index),
                Some(NodeContent::Table(entries)) => match parent.name.take() {
                    Some(name) => entries.push((name, index)),
                    None => parent.name = Some(text),
                },
                Some(NodeContent::Value(_)) | None => {}
            }
        }
        index
    }

    /// Whether the next node is a name.
    fn names(&self) -> bool {
        let parent = self.open.last();
        parent.is_some_and(|open| {
            open.name.is_none() && matches!(self.kind(open.index), Some(NodeContent::Table(_)))
        })
    }

    fn kind(&self, index: usize) -> Option<&NodeContent> {
        self.tree.node(index).map(|node| &node.kind)
    }

    fn scalar(&self, value: &str, style: ScalarStyle, span: Range<usize>) -> Spot {
        let rest = self.text.get(span.start..).unwrap_or_default();
        let (quotes, span) = match style {
            ScalarStyle::Plain if !rest.starts_with(value) => {
                return Spot::doubtful(span, "a text over several lines");
            }
            // Blanks after it are not a part of it.
            ScalarStyle::Plain => (Quotes::Plain, span.start..span.start + value.len()),
            // The parser's span includes blanks and a comment after it.
            ScalarStyle::SingleQuoted => (Quotes::Single, span.start..span.start + single_end(rest)),
            ScalarStyle::DoubleQuoted => (Quotes::Double, span.start..span.start + double_end(rest)),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                return Spot::doubtful(span, "a text in a block of lines");
            }
        };
        if self.text.get(span.clone()).unwrap_or_default().contains(['\n', '\r']) {
            return Spot::doubtful(span, "a text over several lines");
        }
        if quotes == Quotes::Plain && !is_text(value) {
            return Spot::doubtful(span, "a number, a word or nothing in place of a text in quotes");
        }
        let item = value.split_once('=').map(|(name, _)| name).filter(|_| self.compose && self.in_list());
        let inner = item.map_or(value, |name| value.get(name.len() + 1..).unwrap_or_default());
        let value = match self.compose {
            true => single_dollars(inner),
            false => Ok(SecretBytes::new(inner.as_bytes().to_vec())),
        };
        let style = Style { quotes, dollars: self.compose, item: item.map(str::to_owned) };
        Spot::new(span, value, style)
    }

    fn in_list(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(self.kind(open.index), Some(NodeContent::List(_))))
    }
}

/// The length of a text in single quotes, in which a quote is written twice.
fn single_end(text: &str) -> usize {
    let mut at = 1;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\'')) {
        at += next + 1;
        if !text.get(at..).is_some_and(|rest| rest.starts_with('\'')) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The length of a text in double quotes, in which a backslash takes the next character with it.
fn double_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A text as Compose reads it: `$$` is one `$`, and `$` alone begins a variable.
fn single_dollars(text: &str) -> Result<SecretBytes, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'$' && bytes.next() != Some(b'$') {
            // What was gathered may hold a value.
            drop(SecretBytes::new(out));
            return Err(if is_reference(text) {
                MADE_OF_OTHERS
            } else {
                "a $ that Compose puts a variable in place of"
            });
        }
        out.push(byte);
    }
    Ok(SecretBytes::new(out))
}

/// Whether a text is one reference and nothing else: `$NAME`, `${NAME:-default}`.
fn is_reference(text: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let braces = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match (braces, text.strip_prefix('$')) {
        (Some(inner), _) => !inner.contains(['{', '}']),
        (None, Some(name)) => !name.is_empty() && name.chars().all(in_name),
        (None, None) => false,
    }
}
