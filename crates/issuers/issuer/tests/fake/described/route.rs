//! Which operation of a spec a request is, and what stood where its placeholders are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fake::RecordedRequest;
use crate::fake::wire::plain;

/// What was sent in place of each placeholder.
pub type Slots = BTreeMap<String, Value>;

/// The text between the braces of the first placeholder, with what is before and after it.
pub fn first(template: &str) -> Option<(&str, &str, &str)> {
    let start = template.find('{').filter(|at| !template[*at..].starts_with("{{"))?;
    let end = start + template[start..].find('}')?;
    Some((&template[..start], &template[start..=end], &template[end + 1..]))
}

/// Fills the placeholders of a text from what was sent; whether the rest is equal.
pub fn fill(template: &str, sent: &str, slots: &mut Slots) -> bool {
    let Some((before, slot, after)) = first(template) else {
        return template.replace("{{", "{").replace("}}", "}") == sent;
    };
    let Some(rest) = sent.strip_prefix(before) else { return false };
    let literal = first(after).map_or(after, |(literal, _, _)| literal);
    let end = if literal.is_empty() { Some(rest.len()) } else { rest.find(literal) };
    let Some(end) = end else { return false };
    let same = slots.insert(slot.to_owned(), json!(rest[..end])).is_none_or(|old| old == rest[..end]);
    same && fill(after, &rest[end..], slots)
}

/// The same for JSON: a string that is one placeholder stands for any value.
fn meets(template: &Value, sent: &Value, slots: &mut Slots) -> bool {
    match (template, sent) {
        (Value::String(text), _)
            if first(text).is_some_and(|(before, _, after)| before.is_empty() && after.is_empty()) =>
        {
            slots.insert(text.clone(), sent.clone()).is_none_or(|old| old == *sent)
        }
        (Value::String(text), Value::String(sent)) => fill(text, sent, slots),
        (Value::Object(template), Value::Object(sent)) => {
            template.len() == sent.len()
                && template
                    .iter()
                    .all(|(name, part)| sent.get(name).is_some_and(|sent| meets(part, sent, slots)))
        }
        (Value::Array(template), Value::Array(sent)) => {
            template.len() == sent.len()
                && template.iter().zip(sent).all(|(part, sent)| meets(part, sent, slots))
        }
        _ => template == sent,
    }
}

fn form(body: &str) -> BTreeMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// The placeholders' values, if the request is the one of this operation.
pub fn route(op: &Value, seen: &RecordedRequest) -> Option<Slots> {
    let request = op.get("request")?;
    let url = request["url"].as_str()?;
    let path = url.split_once("//")?.1.split_once('/').map_or("", |(_, path)| path);
    let (wanted, there): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), seen.path[1..].split('/').collect());
    if request["method"].as_str()? != seen.method || wanted.len() != there.len() {
        return None;
    }
    let mut slots = Slots::new();
    let of_path = wanted.iter().zip(there).all(|(wanted, there)| fill(wanted, &plain(there), &mut slots));
    let texts = |name: &str| request[name].as_object().into_iter().flatten();
    let of_query = texts("query").all(|(name, text)| {
        seen.query.get(name).is_some_and(|sent| fill(text.as_str().unwrap(), sent, &mut slots))
    });
    let sent = form(&seen.body);
    let of_form = texts("form").all(|(name, text)| {
        sent.get(name).is_some_and(|sent| fill(text.as_str().unwrap(), sent, &mut slots))
    });
    let of_headers = texts("header").all(|(name, text)| {
        let sent = seen.headers.get(&name.to_ascii_lowercase());
        sent.is_some_and(|sent| fill(text.as_str().unwrap(), sent, &mut slots))
    });
    let of_body = request.get("json").is_none_or(|template| {
        serde_json::from_str(&seen.body).is_ok_and(|body| meets(template, &body, &mut slots))
    });
    (of_path && of_query && of_form && of_headers && of_body).then_some(slots)
}
