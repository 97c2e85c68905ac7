use std::fmt;

use keyroll_secret::SecretBytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::spot::{Spelling, Spot};
use crate::tree::{NodeContent, Tree};
use crate::{CopyError, quoted};

/// How deep tables and lists may be nested. The parser does not limit a raw value, and each level is read once more for
/// the next.
const DEPTH_MAX: usize = 128;

/// A text in double quotes with escapes.
struct Text;

impl Spelling for Text {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        quoted::text(new).map(quoted::double)
    }

    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        quoted::carries(alphabet)
    }
}

pub(crate) fn tree(text: &str) -> Result<Tree, CopyError> {
    let strict = strict(text);
    let wrong = |line| CopyError::Malformed { format: "JSON", line };
    let plain = std::str::from_utf8(strict.expose()).map_err(|_| wrong(1))?;
    let root: &RawValue = serde_json::from_str(plain).map_err(|error| wrong(error.line()))?;
    let mut tree = Tree::new();
    node(plain, root, 0, &mut tree);
    Ok(tree)
}

/// The text with spaces instead of the parts that readers of settings files accept beyond RFC 8259: comments, and a
/// comma after the last entry. Every other byte keeps its place.
pub fn strict(text: &str) -> SecretBytes {
    let mut out = text.as_bytes().to_vec();
    let (mut at, mut comma) = (0, None);
    while let Some(&byte) = out.get(at) {
        let end = match (byte, out.get(at + 1)) {
            (b'"', _) => string_end(&out, at),
            (b'/', Some(b'/')) => at + out.iter().skip(at).take_while(|byte| **byte != b'\n').count(),
            (b'/', Some(b'*')) => {
                let rest = out.get(at + 2..).unwrap_or_default();
                at + 4 + rest.windows(2).position(|pair| pair == b"*/").unwrap_or(rest.len())
            }
            _ => at + 1,
        };
        match byte {
            b'/' if end > at + 1 => {
                out.iter_mut()
                    .take(end)
                    .skip(at)
                    .filter(|byte| **byte != b'\n')
                    .for_each(|byte| *byte = b' ');
            }
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(byte) = comma.take().and_then(|comma: usize| out.get_mut(comma)) {
                    *byte = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at = end;
    }
    SecretBytes::new(out)
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// A raw value is a slice of the text, which shows its place.
fn node(text: &str, value: &RawValue, depth: usize, tree: &mut Tree) -> usize {
    let raw = value.get();
    let at = raw.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let span = at..at + raw.len();
    let doubtful = |why| NodeContent::Value(Spot::doubtful(span.clone(), why));
    match raw.as_bytes().first() {
        Some(b'{' | b'[') if depth == DEPTH_MAX => {
            tree.add(at, doubtful("tables and lists that are nested too deep"))
        }
        Some(b'{') => {
            let index = tree.add(at, NodeContent::Table(Vec::new()));
            let Ok(Entries(entries)) = serde_json::from_str(raw) else {
                return tree.fill(index, doubtful("a name that is no text"));
            };
            let entries = entries
                .into_iter()
                .map(|(name, one)| (Some(name), node(text, one, depth + 1, tree)))
                .collect();
            tree.fill(index, NodeContent::Table(entries))
        }
        Some(b'[') => {
            let index = tree.add(at, NodeContent::List(Vec::new()));
            let all: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
            let all = all.into_iter().map(|one| node(text, one, depth + 1, tree)).collect();
            tree.fill(index, NodeContent::List(all))
        }
        Some(b'"') => match serde_json::from_str::<String>(raw) {
            Ok(inner) => {
                let value = Ok(SecretBytes::new(inner.into_bytes()));
                tree.add(at, NodeContent::Value(Spot::new(span, value, Text)))
            }
            Err(_) => tree.add(at, doubtful("an escape that is no character")),
        },
        Some(_) | None => tree.add(at, doubtful("a number or a word in place of a text in quotes")),
    }
}

/// The entries of a table in their order, including repeated names.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(All).map(Entries)
    }
}
