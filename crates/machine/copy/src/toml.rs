use keyroll_secret::SecretBytes;
use toml_edit::{Document, Item, Table, Value};

use crate::spot::{Spelling, Spot, line_of};
use crate::tree::{NodeContent, Tree};
use crate::{CopyError, quoted};

/// The quotes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Literal,
    Basic,
}

impl Spelling for Quotes {
    /// Literal quotes stay where possible; they have no escapes.
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(new)?;
        match self {
            Self::Literal if !text.contains(|c| c == '\'' || quoted::special(c)) => {
                Ok(quoted::around(b'\'', text.as_bytes()))
            }
            Self::Literal | Self::Basic => Ok(quoted::double(text)),
        }
    }

    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        quoted::carries(alphabet)
    }
}

pub(crate) fn tree(text: &str) -> Result<Tree, CopyError> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        CopyError::Malformed { format: "TOML", line: line_of(text.as_bytes(), at) }
    })?;
    let mut tree = Tree::new();
    table(document.as_table(), text, &mut tree);
    Ok(tree)
}

/// Recurses as deep as the parser does, which has a limit.
fn table(table: &Table, text: &str, tree: &mut Tree) -> usize {
    let index = tree.add(table.span().map_or(0, |span| span.start), NodeContent::Table(Vec::new()));
    let entries = table.iter().map(|(name, one)| (Some(name.to_owned()), item(one, text, tree))).collect();
    tree.fill(index, NodeContent::Table(entries))
}

fn item(item: &Item, text: &str, tree: &mut Tree) -> usize {
    let at = item.span().map_or(0, |span| span.start);
    match item {
        Item::None => tree.add(at, NodeContent::Value(Spot::doubtful(at..at, "nothing in place of a text"))),
        Item::Table(inner) => table(inner, text, tree),
        Item::ArrayOfTables(all) => {
            let index = tree.add(at, NodeContent::List(Vec::new()));
            let all = all.iter().map(|one| table(one, text, tree)).collect();
            tree.fill(index, NodeContent::List(all))
        }
        Item::Value(one) => value(one, text, tree),
    }
}

fn value(value: &Value, text: &str, tree: &mut Tree) -> usize {
    let span = value.span().unwrap_or_default();
    let at = span.start;
    match value {
        Value::InlineTable(inner) => {
            let index = tree.add(at, NodeContent::Table(Vec::new()));
            let entries =
                inner.iter().map(|(name, one)| (Some(name.to_owned()), self::value(one, text, tree)));
            let entries = entries.collect();
            tree.fill(index, NodeContent::Table(entries))
        }
        Value::Array(all) => {
            let index = tree.add(at, NodeContent::List(Vec::new()));
            let all = all.iter().map(|one| self::value(one, text, tree)).collect();
            tree.fill(index, NodeContent::List(all))
        }
        Value::String(one) => {
            let raw = text.get(span.clone()).unwrap_or_default();
            let quotes = if raw.starts_with('\'') { Quotes::Literal } else { Quotes::Basic };
            let value = match raw.contains('\n') {
                true => Err("a text over several lines"),
                false => Ok(SecretBytes::new(one.value().as_bytes().to_vec())),
            };
            tree.add(at, NodeContent::Value(Spot::new(span, value, quotes)))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => tree.add(
            at,
            NodeContent::Value(Spot::doubtful(
                span,
                "a number, a word or a time in place of a text in quotes",
            )),
        ),
    }
}
