//! Nested settings: JSON and TOML as they are, and YAML as Python's safe loader reads it: which scalars are texts, and
//! how Python writes the others.

use std::fmt;

use keyroll_secret::SecretBytes;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The largest file that is read, bytes: these files are written by hand.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// How deep tables and lists may be nested.
const DEPTH_MAX: usize = 64;

/// Why a number cannot be represented; it contains no text of the file.
pub(crate) const UNUSUAL_NUMBER: &str = "a number or a date of an unusual spelling";

/// One node of a file.
pub(crate) enum Node {
    /// Names with their nodes, in Python's order: a repeated name keeps its first place.
    Table(Vec<(String, Node)>),
    /// A list.
    List(Vec<Node>),
    /// A text. It may be a value.
    Text(SecretBytes),
    /// A number, a boolean or null, as Python's `str` writes it.
    Plain(String),
    /// A node whose text in Python is unknown, and why.
    Odd(&'static str),
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The file is larger than any file that is written by hand.
    #[error("it is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    Large,
    /// The file is not UTF-8.
    #[error("it is no UTF-8")]
    NoText,
    /// Its tables and lists are nested too deep.
    #[error("its tables are nested too deep")]
    Deep,
    /// The file is not of its format; the line, from 1 on.
    #[error("line {0} is not of its format")]
    Malformed(usize),
}

impl Node {
    /// The one document of a YAML file.
    pub(crate) fn yaml(file: &[u8]) -> Result<Self, DocumentError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(DocumentError::Large);
        }
        let text = std::str::from_utf8(file).map_err(|_| DocumentError::NoText)?;
        let mut open: Vec<Open> = Vec::new();
        let mut root = Self::Plain("None".to_owned());
        for event in Parser::new_from_str(text) {
            let (event, _) = event.map_err(|error| DocumentError::Malformed(error.marker().line()))?;
            let whole = match event {
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => None,
                Event::Alias(_) => Some(Self::Odd("a reference to another place in the file")),
                Event::Scalar(_, _, _, Some(_)) => Some(Self::Odd("a text with a tag")),
                Event::Scalar(text, ScalarStyle::Plain, _, None) => Some(plain(&text)),
                Event::Scalar(text, _, _, None) => Some(Self::text(&text)),
                Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                    return Err(DocumentError::Deep);
                }
                Event::SequenceStart(..) => {
                    open.push(Open { node: Self::List(Vec::new()), name: None });
                    None
                }
                Event::MappingStart(..) => {
                    open.push(Open { node: Self::Table(Vec::new()), name: None });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().map(|it| it.node),
            };
            let Some(whole) = whole else { continue };
            match open.last_mut() {
                Some(parent) => parent.put(whole),
                None => root = whole,
            }
        }
        Ok(root)
    }

    /// A JSON file.
    pub(crate) fn json(file: &[u8]) -> Result<Self, DocumentError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(DocumentError::Large);
        }
        // serde's message would repeat a part of the file.
        serde_json::from_slice(file).map_err(|error| DocumentError::Malformed(error.line()))
    }

    /// A TOML file.
    pub(crate) fn toml(file: &[u8]) -> Result<Self, DocumentError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(DocumentError::Large);
        }
        let text = std::str::from_utf8(file).map_err(|_| DocumentError::NoText)?;
        toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            DocumentError::Malformed(before.matches('\n').count() + 1)
        })
    }

    /// Whether these names lead to a text that is not empty.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        let node = names.iter().try_fold(self, |node, name| node.at(name));
        matches!(node, Some(Self::Text(text)) if !text.is_empty())
    }

    /// The names of a table with their nodes.
    pub(crate) fn names(&self) -> &[(String, Self)] {
        match self {
            Self::Table(entries) => entries,
            Self::List(_) | Self::Text(_) | Self::Plain(_) | Self::Odd(_) => &[],
        }
    }

    fn text(text: &str) -> Self {
        Self::Text(SecretBytes::new(text.as_bytes().to_vec()))
    }

    /// The node under a name of a table.
    pub(crate) fn at(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Table(entries) => entries.iter().find(|(known, _)| known == name).map(|(_, node)| node),
            Self::List(_) | Self::Text(_) | Self::Plain(_) | Self::Odd(_) => None,
        }
    }

    /// The entries of a list.
    pub(crate) fn entries(&self) -> &[Self] {
        match self {
            Self::List(all) => all,
            Self::Table(_) | Self::Text(_) | Self::Plain(_) | Self::Odd(_) => &[],
        }
    }

    /// A text that is certainly a name and not a value.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Text(text) => String::from_utf8(text.expose().to_vec()).ok(),
            Self::Table(_) | Self::List(_) | Self::Plain(_) | Self::Odd(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

/// Builds a node from the events of a deserializer.
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(if value { "True" } else { "False" }.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(format!("{value:?}")))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain("None".to_owned()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(SecretBytes::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(one) = all.next_element()? {
            entries.push(one);
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = all.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Table(entries))
    }
}

/// A table or a list that is still open.
struct Open {
    node: Node,
    /// In a table: the name that was read and waits for its node. The inner `None` is a name that is not a text.
    name: Option<Option<String>>,
}

impl Open {
    fn put(&mut self, one: Node) {
        match &mut self.node {
            Node::List(all) => all.push(one),
            Node::Table(entries) => match self.name.take() {
                None => self.name = Some(one.name()),
                Some(Some(name)) if name == "<<" => {
                    self.node = Node::Odd("a table that takes in another one")
                }
                Some(Some(name)) => match entries.iter_mut().find(|(known, _)| *known == name) {
                    // The last node wins, in the place of the first.
                    Some((_, known)) => *known = one,
                    None => entries.push((name, one)),
                },
                Some(None) => self.node = Node::Odd("a name that is no text"),
            },
            // An odd node stays odd.
            Node::Text(_) | Node::Plain(_) | Node::Odd(_) => {}
        }
    }
}

/// A scalar without quotes: YAML 1.1, as PyYAML resolves it. A scalar that may be a number or a date in an unusual
/// spelling is odd.
fn plain(text: &str) -> Node {
    let written = |word: &str| Node::Plain(word.to_owned());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return written("None"),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return written("True"),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return written("False"),
        "=" | "<<" => return if text == "=" { Node::Odd("a lone =") } else { Node::text(text) },
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return Node::text(text);
    }
    if let Some(digits) = decimal(text) {
        return Node::Plain(digits);
    }
    if let Some(number) = fraction(text) {
        return Node::Plain(number);
    }
    let infinite = [".inf", ".nan"].iter().any(|word| text.to_ascii_lowercase().ends_with(word));
    let might = |byte: u8| byte.is_ascii_hexdigit() || b"xXobTtZz_:.+- ".contains(&byte);
    match infinite || text.bytes().all(might) {
        true => Node::Odd(UNUSUAL_NUMBER),
        false => Node::text(text),
    }
}

/// A decimal number as Python writes it.
fn decimal(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let usual = unsigned == "0" || unsigned.starts_with(|first: char| ('1'..='9').contains(&first));
    if !usual || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sign = if text.starts_with('-') && unsigned != "0" { "-" } else { "" };
    Some(format!("{sign}{unsigned}"))
}

/// A decimal fraction as Python writes it: the shortest text that reads the same.
fn fraction(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = unsigned.split_once('.')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(rest) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    // Outside this range Python writes an exponent.
    let usual = number == 0.0 || (1e-4..1e16).contains(&number.abs());
    usual.then(|| format!("{number:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match node {
            Node::Table(all) => {
                let all: Vec<String> = all.iter().map(|(name, it)| format!("{name}={}", shown(it))).collect();
                format!("{{{}}}", all.join(","))
            }
            Node::List(all) => format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(",")),
            Node::Text(text) => format!("'{}'", String::from_utf8_lossy(text.expose())),
            Node::Plain(word) => word.clone(),
            Node::Odd(_) => "?".to_owned(),
        }
    }

    #[test]
    fn scalars_are_what_python_makes_of_them() {
        for (text, python) in [
            ("gpt-4o", "'gpt-4o'"),
            ("'5'", "'5'"),
            ("5", "5"),
            ("+5", "5"),
            ("-0", "0"),
            ("0.10", "0.1"),
            ("1.", "1.0"),
            ("30.0", "30.0"),
            ("0.00001", "?"),
            ("0x1F", "?"),
            ("017", "?"),
            ("1_000", "?"),
            ("2024-08-01", "?"),
            ("2024-08-01-preview", "'2024-08-01-preview'"),
            ("12:30", "?"),
            (".inf", "?"),
            ("yes", "True"),
            ("OFF", "False"),
            ("y", "'y'"),
            ("~", "None"),
            ("", "None"),
            ("!!str 5", "?"),
            ("http://127.0.0.1:4000/v1", "'http://127.0.0.1:4000/v1'"),
        ] {
            let file = format!("a: {text}\n");
            let node = Node::yaml(file.as_bytes()).unwrap();
            assert_eq!(shown(&node), format!("{{a={python}}}"), "{text}");
        }
    }

    #[test]
    fn tables_keep_their_order_and_what_is_put_together_is_odd() {
        let file = "b: 1\na: &x {c: d}\nb: 2\nl: [*x, {<<: *x, e: f}, [g]]\n? [1]\n: h\n";
        let odd = Node::yaml(file.as_bytes()).unwrap();
        assert_eq!(shown(&odd), "?", "a name that is a list");
        let file = file.split_once("? ").unwrap().0;
        let node = Node::yaml(file.as_bytes()).unwrap();
        assert_eq!(shown(&node), "{b=2,a={c='d'},l=[?,?,['g']]}");
    }

    #[test]
    fn json_and_toml_are_read_as_they_are() {
        let json = Node::json(br#"{"a": {"b": "c", "d": ["e", 1, true, null]}}"#).unwrap();
        assert_eq!(shown(&json), "{a={b='c',d=['e',1,True,None]}}");
        assert!(json.has(&["a", "b"]) && !json.has(&["a", "d"]) && !json.has(&["a", "x", "b"]));
        let toml = Node::toml(b"[a.b]\nc = \"d\"\ne = 2.5\n").unwrap();
        assert_eq!(shown(&toml), "{a={b={c='d',e=2.5}}}");
        assert_eq!(Node::json(b"{\n\"a\": }").err(), Some(DocumentError::Malformed(2)));
        assert_eq!(Node::toml(b"a = 1\nb = [\n").err(), Some(DocumentError::Malformed(2)));
    }

    #[test]
    fn a_hostile_file_is_refused() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(Node::yaml(deep.as_bytes()).err(), Some(DocumentError::Deep));
        assert_eq!(Node::yaml(&[0xff, 0xfe]).err(), Some(DocumentError::NoText));
        assert_eq!(Node::yaml(&vec![b' '; FILE_BYTES_MAX + 1]).err(), Some(DocumentError::Large));
        assert!(matches!(Node::yaml(b"a: [1"), Err(DocumentError::Malformed(_))));
        assert_eq!(shown(&Node::yaml(b"").unwrap()), "None");
    }
}
