use std::collections::BTreeMap;
use std::ops::Range;

use keyroll_template::{Piece, pieces};

use crate::mistake::Mistake;
use crate::{FieldSpec, Kind, Name};

/// One piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// A field's value.
    Field {
        /// Which field.
        name: Name,
        /// Whether the bytes are inserted unchanged; otherwise they are percent-encoded for their position in a URL.
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

    /// Reads a template of the file. It must use at least one field, and each of its fields must exist.
    pub(crate) fn read(
        text: &str,
        span: &Range<usize>,
        fields: &BTreeMap<Name, FieldSpec>,
    ) -> Result<Self, Mistake> {
        let fault = |why: String| Mistake::new(Kind::BadPlaceholder, why).at(span);
        let mut parts = Vec::new();
        for piece in pieces(text).map_err(|error| fault(error.to_string()))? {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text)),
                Piece::Placeholder { name, .. } => {
                    let (field, raw) = match name.strip_suffix(":raw") {
                        Some(field) => (field, true),
                        None => (name, false),
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
