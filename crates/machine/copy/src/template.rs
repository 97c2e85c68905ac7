use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_secret::{Fields, SecretBytes};
use keyroll_template::{Piece, pieces};

use crate::CopyError;

mod field_values;
mod find;
mod position;

pub use field_values::FieldValues;
use field_values::add;
use position::Position;

/// The longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// A text with placeholders that a secret's fields are rendered into, such as
/// `postgres://{user}:{password}@127.0.0.1:5432/orders`.
///
/// `{field}` is written as its position requires: percent-encoded in a URL; elsewhere only if it consists of letters,
/// digits and a few harmless marks. `{field:raw}` is written unchanged, except that NUL and line ends are refused. `{{`
/// and `}}` stand for braces. If the template begins with `base64:`, the rest is written in Base64 (RFC 4648 §4), as
/// npm's `_auth` and a request's header require.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    base64: bool,
}

/// What a template of Base64 begins with.
const BASE64: &str = "base64:";

/// Every byte of Base64.
const BASE64_ALPHABET: &[u8; 65] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

/// The bytes that rendering a template can bring into a copy, for [`crate::Format::carries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Every byte that a placeholder can be rendered to.
    pub alphabet: Vec<u8>,
    /// The longest rendering, in bytes.
    pub len_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Placeholder { name: String, position: Position },
}

impl Template {
    /// Reads a template. Errors name the byte offset.
    pub fn parse(text: &str) -> Result<Self, CopyError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(CopyError::Template { at: TEMPLATE_BYTES_MAX, why: "it is too long" });
        }
        let (text, base64) = text.strip_prefix(BASE64).map_or((text, false), |rest| (rest, true));
        let mut parts: Vec<Part> = Vec::new();
        let pieces = pieces(text).map_err(|error| CopyError::Template { at: error.at, why: error.why })?;
        for piece in pieces {
            match piece {
                Piece::Text(literal) => parts.push(Part::Literal(literal.into_bytes())),
                Piece::Placeholder { at, .. } if matches!(parts.last(), Some(Part::Placeholder { .. })) => {
                    // Without a mark between two fields, the end of the first value is unknown.
                    return Err(CopyError::Template { at, why: "two placeholders side by side" });
                }
                Piece::Placeholder { name, at } => {
                    let (before, behind) = (text.get(..at), text.get(at + name.len() + 2..));
                    let (before, behind) = (before.unwrap_or_default(), behind.unwrap_or_default());
                    parts.push(placeholder(name, at, before, behind)?);
                }
            }
        }
        Ok(Self { parts, base64 })
    }

    /// The names of the fields that it needs, each once, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.placeholders().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The text with the fields in their places.
    pub fn render(&self, fields: &Fields) -> Result<SecretBytes, CopyError> {
        // Reserved in full, since a vector that grows leaves a copy of the values behind in freed memory.
        let mut out =
            Vec::with_capacity(self.plain_len_max(|name| fields.get(name).map_or(0, |f| f.value.len())));
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Placeholder { name, position } => {
                    let field = fields.get(name).ok_or_else(|| CopyError::NoField { name: name.clone() })?;
                    position.write(name, field.value.expose(), &mut out)?;
                }
            }
        }
        let plain = SecretBytes::new(out);
        Ok(if self.base64 { encoded(&plain) } else { plain })
    }

    /// The reverse of [`Self::render`]: the fields that a text was rendered from, by name. `None` if the text does not
    /// have this form or gives one name two values.
    ///
    /// Other spellings of the same URL (`!` for `%21`) give the same fields.
    pub fn extract(&self, text: &SecretBytes) -> Option<BTreeMap<String, SecretBytes>> {
        let decoded =
            if self.base64 { Some(SecretBytes::new(STANDARD.decode(text.expose()).ok()?)) } else { None };
        let mut rest = decoded.as_ref().unwrap_or(text).expose();
        let mut found = FieldValues::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(text.as_slice())?,
                Part::Placeholder { name, position } => {
                    let length = match (self.parts.get(index + 1), index + 2 == self.parts.len()) {
                        (None, _) => rest.len(),
                        // The last literal must end the text, so it is looked for there.
                        (Some(Part::Literal(last)), true) => rest.strip_suffix(last.as_slice())?.len(),
                        (Some(Part::Literal(next)), false) => {
                            rest.windows(next.len()).position(|window| window == next.as_slice())?
                        }
                        (Some(Part::Placeholder { .. }), _) => return None,
                    };
                    let (written, behind) = rest.split_at_checked(length)?;
                    rest = behind;
                    add(&mut found, name, position.read(written)?)?;
                }
            }
        }
        rest.is_empty().then_some(found)
    }

    /// The reverse check: whether parsing a text with this template gives exactly these fields.
    pub fn says(&self, text: &SecretBytes, fields: &Fields) -> bool {
        self.extract(text).is_some_and(|found| {
            found.iter().all(|(name, value)| fields.get(name).is_some_and(|field| field.value == *value))
        })
    }

    /// Asked in Preflight: can the template carry every value of up to `len_max` bytes from `alphabet` in the field
    /// `name`?
    /// Returns what a rendering of that field may bring into the copy.
    pub fn carries(&self, name: &str, alphabet: &[u8], len_max: usize) -> Result<Carried, CopyError> {
        let mut brought: Vec<u8> = Vec::new();
        for (_, position) in self.placeholders().filter(|(placed, _)| *placed == name) {
            match alphabet.iter().find_map(|byte| position.refuses(*byte)) {
                Some(why) => return Err(position.error(name, why)),
                None if position.encodes() => brought.extend(crate::percent::alphabet()),
                None => brought.extend_from_slice(alphabet),
            }
        }
        brought.sort_unstable();
        brought.dedup();
        let length = self.plain_len_max(|placed| if placed == name { len_max } else { 0 });
        Ok(match self.base64 {
            false => Carried { alphabet: brought, len_max: length },
            true => {
                Carried { alphabet: BASE64_ALPHABET.to_vec(), len_max: length.div_ceil(3).saturating_mul(4) }
            }
        })
    }

    fn placeholders(&self) -> impl Iterator<Item = (&str, Position)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder { name, position } => Some((name.as_str(), *position)),
        })
    }

    fn plain_len_max(&self, len: impl Fn(&str) -> usize) -> usize {
        let length = |part: &Part| match part {
            Part::Literal(text) => text.len(),
            Part::Placeholder { name, .. } => len(name).saturating_mul(3),
        };
        self.parts.iter().map(length).fold(0, usize::saturating_add)
    }
}

/// In Base64, in a buffer that never grows.
fn encoded(plain: &SecretBytes) -> SecretBytes {
    let mut out = vec![0; plain.len().div_ceil(3) * 4];
    // The buffer has exactly the length of the result.
    let length = STANDARD.encode_slice(plain.expose(), &mut out).unwrap_or(0);
    out.truncate(length);
    SecretBytes::new(out)
}

fn placeholder(inside: &str, at: usize, before: &str, behind: &str) -> Result<Part, CopyError> {
    let (name, raw) = match inside.split_once(':') {
        Some((name, "raw")) => (name, true),
        Some(_) => {
            return Err(CopyError::Template { at, why: "the only mark behind a field's name is :raw" });
        }
        None => (inside, false),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(named) {
        return Err(CopyError::Template { at, why: "a field's name is of letters, digits, _, - and ." });
    }
    let position = if raw { Position::Raw } else { Position::of(before, behind) };
    Ok(Part::Placeholder { name: name.to_owned(), position })
}
