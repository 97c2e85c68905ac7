//! The texts of a spec, with placeholders in braces.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What every part of a credential has that is no secret: the number of an account, a project.
pub(super) const PLAIN: &str = "7";

/// What stands for the placeholders of a request, by their names in braces.
pub(super) type Slots = BTreeMap<String, Value>;

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A placeholder, in its braces.
    Slot(String),
}

/// The pieces of a text; `{{` and `}}` are braces.
pub(super) fn pieces(template: &str) -> Vec<Piece> {
    let (mut all, mut plain, mut slot) = (Vec::new(), String::new(), None::<String>);
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, &mut slot) {
            ('{' | '}', None) if letters.peek() == Some(&letter) => plain.extend(letters.next()),
            ('{', None) => slot = Some("{".to_owned()),
            (_, None) => plain.push(letter),
            ('}', Some(name)) => {
                name.push('}');
                if !plain.is_empty() {
                    all.push(Piece::Text(std::mem::take(&mut plain)));
                }
                all.extend(slot.take().map(Piece::Slot));
            }
            (_, Some(name)) => name.push(letter),
        }
    }
    if !plain.is_empty() {
        all.push(Piece::Text(plain));
    }
    all
}

/// The pieces as one text; a placeholder without a value is no secret.
pub(super) fn fill(pieces: &[Piece], values: &BTreeMap<String, String>) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Slot(slot) => values.get(slot).cloned().unwrap_or_else(|| PLAIN.to_owned()),
    };
    pieces.iter().map(one).collect()
}

/// Every placeholder in the texts of a part of a spec.
pub(super) fn slots_in(part: &Value) -> BTreeSet<String> {
    if let Some(text) = part.as_str() {
        let slots = pieces(text).into_iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            Piece::Text(_) => None,
        });
        return slots.collect();
    }
    let items = part.as_array().into_iter().flatten();
    items
        .chain(part.as_object().into_iter().flat_map(|entries| entries.values()))
        .flat_map(slots_in)
        .collect()
}

/// A placeholder that comes twice stands for the same both times.
fn found(slot: String, sent: Value, slots: &mut Slots) -> bool {
    *slots.entry(slot).or_insert_with(|| sent.clone()) == sent
}

/// Whether a text that was sent is a template's, and what its placeholders stand for.
pub(super) fn meets_text(template: &str, sent: &str, slots: &mut Slots) -> bool {
    let (mut rest, mut open) = (sent, None::<String>);
    for piece in pieces(template) {
        match (piece, open.take()) {
            (Piece::Slot(slot), _) => open = Some(slot),
            (Piece::Text(text), None) => {
                let Some(after) = rest.strip_prefix(text.as_str()) else { return false };
                rest = after;
            }
            (Piece::Text(text), Some(slot)) => {
                let Some((before, after)) = rest.split_once(text.as_str()) else { return false };
                if !found(slot, before.into(), slots) {
                    return false;
                }
                rest = after;
            }
        }
    }
    open.map_or(rest.is_empty(), |slot| found(slot, rest.into(), slots))
}

/// The same for a body: it has at least what the template has. A placeholder alone stands for whatever was sent.
pub(super) fn meets(template: &Value, sent: &Value, slots: &mut Slots) -> bool {
    if let Some(text) = template.as_str() {
        if let [Piece::Slot(slot)] = pieces(text).as_slice() {
            return found(slot.clone(), sent.clone(), slots);
        }
        return sent.as_str().is_some_and(|sent| meets_text(text, sent, slots));
    }
    if let Some(entries) = template.as_object() {
        return entries
            .iter()
            .all(|(name, part)| sent.get(name).is_some_and(|sent| meets(part, sent, slots)));
    }
    if let Some(items) = template.as_array() {
        let there = sent.as_array().map(Vec::as_slice).unwrap_or_default();
        return items.len() == there.len()
            && items.iter().zip(there).all(|(part, sent)| meets(part, sent, slots));
    }
    template == sent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(template: &Value, sent: &Value) -> Option<Slots> {
        let mut slots = Slots::new();
        meets(template, sent, &mut slots).then_some(slots)
    }

    #[test]
    fn a_body_is_taken_apart_at_any_depth_and_in_the_middle_of_a_text() {
        let template = json!({
            "data": { "attributes": { "name": "keyroll {label}", "scopes": "{copy.scopes}" } },
            "sql": "ALTER USER {current.user} ADD TOKEN {label};",
            "list": [{ "id": "{current.user}" }], "on": true,
        });
        let whole = json!({
            "data": { "attributes": { "name": "keyroll k-1", "scopes": ["a", 1], "more": 1 } },
            "sql": "ALTER USER ann ADD TOKEN k-1;", "list": [{ "id": "ann" }], "on": true,
        });
        let slots = sent(&template, &whole).unwrap();
        assert_eq!(slots["{label}"], "k-1");
        assert_eq!(slots["{current.user}"], "ann");
        assert_eq!(slots["{copy.scopes}"], json!(["a", 1]));
        for (pointer, other) in [
            ("/data/attributes/name", json!("k-1")),
            ("/sql", json!("ALTER USER ann ADD TOKEN k-2;")),
            ("/sql", json!("ALTER USER ann ADD TOKEN k-1")),
            ("/list", json!([])),
            ("/list/0/id", json!("bob")),
            ("/on", json!(false)),
        ] {
            let mut other_body = whole.clone();
            *other_body.pointer_mut(pointer).unwrap() = other;
            assert_eq!(sent(&template, &other_body), None, "{pointer}");
        }
    }

    #[test]
    fn braces_are_doubled_and_a_placeholder_is_found_anywhere() {
        assert_eq!(pieces("{{a}}"), [Piece::Text("{a}".to_owned())]);
        let part = json!({ "a": ["x {admin/b}"], "c": { "d": "{admin}{jwt}" } });
        assert_eq!(slots_in(&part).into_iter().collect::<Vec<_>>(), ["{admin/b}", "{admin}", "{jwt}"]);
    }
}
