//! The one grammar for text with placeholders in braces, as in `http://svc:{value}@127.0.0.1/`. `{{` and `}}` are the
//! braces themselves. Each room defines its own names and their values.
//!
//! Invariants, by what is absent: no IO, no dependency, no value: an error never shows the text.

use std::fmt;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Literal text; never empty, and no two follow each other.
    Text(String),
    /// A placeholder.
    Placeholder {
        /// The text between the braces.
        name: &'a str,
        /// Where its opening brace is in the template, bytes.
        at: usize,
    },
}

/// A brace without its partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateError {
    /// Where the brace is, bytes.
    pub at: usize,
    /// What is wrong with it, as a clause.
    pub why: &'static str,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for TemplateError {}

/// Splits a template into its pieces, in order.
///
/// # Errors
/// A brace has no partner.
pub fn pieces(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(found) = rest.find(['{', '}']) {
        let (before, tail) = rest.split_at(found);
        text.push_str(before);
        let at = template.len() - tail.len();
        let unclosed = TemplateError { at, why: "an opening brace is not closed (write `{{` for one brace)" };
        if let Some(after) = tail.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = tail.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else if let Some(inside) = tail.strip_prefix('{') {
            let (name, after) = inside.split_once('}').ok_or(unclosed)?;
            if name.contains('{') {
                return Err(unclosed);
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Placeholder { name, at });
            rest = after;
        } else {
            return Err(TemplateError { at, why: "a closing brace stands alone (write `}}` for one brace)" });
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The template without placeholders that yields this text.
pub fn escape(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_placeholders_alternate() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let named = |name, at| Piece::Placeholder { name, at };
        assert_eq!(pieces("a{b}{c:raw}é"), Ok(vec![text("a"), named("b", 1), named("c:raw", 4), text("é")]));
        assert_eq!(pieces("{{b}}"), Ok(vec![text("{b}")]));
        assert_eq!(pieces("{{{b}}}"), Ok(vec![text("{"), named("b", 2), text("}")]));
        assert_eq!(pieces(""), Ok(Vec::new()));
    }

    #[test]
    fn a_brace_without_its_partner_is_refused_where_it_stands() {
        for (template, at) in [("a{", 1), ("a}b", 1), ("{a", 0), ("{a{b}", 0), ("é{a", 2), ("{a}}", 3)] {
            assert_eq!(pieces(template).map_err(|error| error.at), Err(at), "{template}");
        }
    }

    #[test]
    fn an_escaped_text_stands_for_itself() {
        for plain in ["", "a", "{a}", "}{", "{{"] {
            let escaped = escape(plain);
            let whole: String = pieces(&escaped)
                .unwrap()
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Placeholder { .. } => "?",
                })
                .collect();
            assert_eq!(whole, plain);
        }
    }
}
