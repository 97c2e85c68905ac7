//! Which field of an object a mistake of its table is in: nobody wrote the lines of the composed text.

use std::ops::Range;

use keyroll_config::Position;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest part of a field's name that is shown, bytes. Longer ones, and those of other characters than small letters and
/// `_`, may be values.
const PART_BYTES_MAX: usize = 24;

/// The fields of the secrets of a text, each with its bytes; a key is of the field that it is in.
pub(crate) struct Fields<'t> {
    text: &'t str,
    found: Vec<(Range<usize>, String)>,
}

impl<'t> Fields<'t> {
    /// Those of a composed configuration.
    pub(crate) fn of(text: &'t str) -> Self {
        let mut fields = Self { text, found: Vec::new() };
        if let Ok(whole) = DeTable::parse(text)
            && let Some(secrets) = whole.get_ref().get("secrets").and_then(|it| it.get_ref().as_table())
        {
            for secret in secrets.values() {
                fields.add(secret, "");
            }
        }
        fields
    }

    /// The field at a position: `consumers[0].runs`; none if it is that of the whole object, or of none.
    pub(crate) fn at(&self, position: Position) -> Option<&str> {
        let offset = offset(self.text, position)?;
        // Of several of one size the innermost was added last.
        let all = self.found.iter().rev().filter(|(span, _)| span.contains(&offset));
        let (_, field) = all.min_by_key(|(span, _)| span.len())?;
        (!field.is_empty()).then_some(field.as_str())
    }

    fn add(&mut self, value: &Spanned<DeValue<'_>>, own: &str) {
        self.found.push((value.span(), own.to_owned()));
        if let DeValue::Table(table) = value.get_ref() {
            for (key, below) in table {
                self.found.push((key.span(), own.to_owned()));
                let dot = if own.is_empty() { "" } else { "." };
                self.add(below, &format!("{own}{dot}{}", shown(key.get_ref())));
            }
        } else if let DeValue::Array(all) = value.get_ref() {
            for (at, below) in all.iter().enumerate() {
                self.add(below, &format!("{own}[{at}]"));
            }
        }
    }
}

/// A part of a field's name.
fn shown(key: &str) -> &str {
    let plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain && key.len() <= PART_BYTES_MAX { key } else { "…" }
}

/// The byte at a position.
fn offset(text: &str, position: Position) -> Option<usize> {
    let before = position.line.checked_sub(1)?;
    let begin: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let line = text.get(begin..)?.lines().next()?;
    let (within, _) = line.char_indices().nth(position.column.checked_sub(1)?)?;
    Some(begin + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_in_the_innermost_field() {
        let text = "version = 1\n[secrets.\"shop.one\"]\nowner = \"é\" # ours\n[secrets.\"shop.one\".derived]\n\
            sk-4f1d = [\"a\"]\n[[secrets.\"shop.one\".consumers]]\nname = \"a\"\n[secrets.\"shop.one\".consumers.runs]\nx = 1\n\
            [[secrets.\"shop.one\".consumers]]\nreads = [{ key = 1 }]\n";
        let fields = Fields::of(text);
        let at = |line: usize, column: usize| fields.at(Position { line, column });
        for (line, column, wanted) in [
            (1, 11, None),
            (2, 1, None),
            (3, 1, None),
            (3, 9, Some("owner")),
            (5, 1, Some("derived")),
            (5, 12, Some("derived.…[0]")),
            (6, 1, Some("consumers[0]")),
            (7, 1, Some("consumers[0]")),
            (8, 1, Some("consumers[0].runs")),
            (9, 5, Some("consumers[0].runs.x")),
            (10, 1, Some("consumers[1]")),
            (11, 10, Some("consumers[1].reads[0]")),
            (11, 18, Some("consumers[1].reads[0].key")),
            (99, 1, None),
            (3, 99, None),
            (0, 0, None),
        ] {
            assert_eq!(at(line, column), wanted, "{line}:{column}");
        }
        assert_eq!(Fields::of("not toml").at(Position { line: 1, column: 1 }), None);
    }
}
