use std::collections::BTreeMap;
use std::ops::Range;

use crate::fault::Fault;
use crate::{FieldSpec, Kind, Name};

/// One piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands as it is.
    Text(String),
    /// A field's value.
    Field {
        /// Which field.
        name: Name,
        /// Whether the bytes go in as they are; else they are percent-encoded for their position in a URL.
        raw: bool,
    },
}

/// A text with fields in it: `http://svc:{value}@127.0.0.1/`. `{{` and `}}` are single braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

impl Template {
    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pieces, in order; no two texts follow each other.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Reads a template of the file, whose fields must exist and of which one at least must be used.
    pub(crate) fn read(
        text: &str,
        span: &Range<usize>,
        fields: &BTreeMap<Name, FieldSpec>,
    ) -> Result<Self, Fault> {
        let fault = |why: String| Fault::new(Kind::BadPlaceholder, why).at(span);
        let mut parts = Vec::new();
        for piece in pieces(text).map_err(|why| fault(why.to_owned()))? {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text)),
                Piece::Hole(hole) => {
                    let (field, raw) = match hole.strip_suffix(":raw") {
                        Some(field) => (field, true),
                        None => (hole.as_str(), false),
                    };
                    let known = fields.get_key_value(field).map(|(name, _)| name.clone());
                    let name = known.ok_or_else(|| {
                        let all: Vec<&str> = fields.keys().map(Name::as_str).collect();
                        fault("the template names a field that this secret does not have".to_owned())
                            .help(format!("the fields are: {}", all.join(", ")))
                    })?;
                    parts.push(Part::Field { name, raw });
                }
            }
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(fault("the template has no {field} in it".to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// A piece of text with holes in braces.
pub(crate) enum Piece {
    Text(String),
    Hole(String),
}

/// Splits text at its holes. Errors name what is wrong, never the text.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.next_if_eq(&'{').is_some() => plain.push('{'),
            '}' if rest.next_if_eq(&'}').is_some() => plain.push('}'),
            '}' => return Err("a closing brace stands alone (write `}}` for one brace)"),
            '{' => {
                let mut hole = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some('{') | None => {
                            return Err("an opening brace is not closed (write `{{` for one brace)");
                        }
                        Some(c) => hole.push(c),
                    }
                }
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Hole(hole));
            }
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}
