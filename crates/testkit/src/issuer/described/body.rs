//! Answers of the shape that a spec expects.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use serde_json::{Value, json};

use super::route::copied;

/// A status and a body.
pub(in super::super) type JsonResponse = (u16, Value);

/// Puts a value where a JSON pointer leads, and makes what is not there on the way: a number is a place of an array.
pub(super) fn put(root: &mut Value, pointer: &str, value: Value) {
    let Some(path) = pointer.strip_prefix('/') else {
        *root = value;
        return;
    };
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let name = name.replace("~1", "/").replace("~0", "~");
    let at = name.parse::<usize>().ok();
    let is_named = root.as_object().is_some_and(|entries| at.is_none() || !entries.is_empty());
    let is_item = root.is_array() && at.is_some();
    if !is_named && !is_item {
        *root = if at.is_some() { json!([]) } else { json!({}) };
    }
    let place = match (root, at) {
        (Value::Array(items), Some(at)) => {
            if items.len() <= at {
                items.resize(at + 1, Value::Null);
            }
            items.get_mut(at)
        }
        (Value::Object(entries), _) => Some(entries.entry(name).or_insert(Value::Null)),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_), _) => None,
    };
    let Some(place) = place else { return };
    match rest {
        None => *place = value,
        Some(rest) => put(place, &format!("/{rest}"), value),
    }
}

/// An answer that a case of the spec accepts.
pub(super) fn shaped(cases: &Value) -> JsonResponse {
    let case = cases.get(0).unwrap_or(&Value::Null);
    let mut body = json!({});
    let texts = case["body_has"].as_array().and_then(|texts| texts.first());
    if let Some(text) = texts.and_then(Value::as_str) {
        // A member of the body, or any text in it.
        match serde_json::from_str(&format!("{{{text}}}")) {
            Ok(member @ Value::Object(_)) => body = member,
            Ok(_) | Err(_) => put(&mut body, "/says", json!(text)),
        }
    }
    for pointer in case["json_has"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if body.pointer(pointer).is_none() {
            put(&mut body, pointer, json!("there"));
        }
    }
    for (pointer, values) in case["json"].as_object().into_iter().flatten() {
        put(&mut body, pointer, values[0].clone());
    }
    let status = case["status"][0].as_u64().and_then(|status| u16::try_from(status).ok());
    (status.unwrap_or(500), body)
}

pub(super) fn error(status: u16) -> JsonResponse {
    (status, json!({ "error": {}, "errors": [], "message": "no", "title": "no" }))
}

/// Sets what a flag of the list is read from.
pub(super) fn flag(item: &mut Value, flag: Option<&Value>, on: bool) {
    let Some(flag) = flag else { return };
    let (at, is) = (flag["at"].as_str().unwrap_or_default(), &flag["is"][0]);
    if let Some(is) = is.as_bool() {
        put(item, at, json!(is == on));
    } else if on {
        put(item, at, is.clone());
    } else if item.pointer(at).is_none() {
        put(item, at, if is.is_number() { json!(-1) } else { json!("active") });
    }
}

/// A part of a URL in letters that need no care in a shell, nor in a list of calls.
pub(super) fn encoded(text: &str) -> String {
    let one = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || "-._~/:@%".contains(letter) => letter.to_string(),
        letter => format!("%{:02X}", u32::from(letter)),
    };
    text.chars().map(one).collect()
}

/// Puts the settings that a new key copies where the spec reads them.
pub(super) fn copies(form: &Value, body: &mut Value) {
    for (name, pointer) in form["copy"].as_object().into_iter().flatten() {
        put(body, pointer.as_str().unwrap_or_default(), copied(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_through_arrays() {
        let mut root = json!({ "a": "there" });
        put(&mut root, "/a/1/id", json!("x"));
        put(&mut root, "/a/0", json!(1));
        put(&mut root, "/b~1c", json!(2));
        assert_eq!(root, json!({ "a": [1, { "id": "x" }], "b/c": 2 }));
        let mut item = json!({});
        put(&mut item, "/2", json!("label"));
        put(&mut item, "/0", json!("id"));
        assert_eq!(item, json!(["id", null, "label"]));
    }

    #[test]
    fn an_answer_has_all_that_its_case_asks_for() {
        let cases = json!([{
            "status": [403], "json_has": ["/a/b", "/a"], "json": { "/a/c": [true] }, "body_has": ["gone", "dead"],
        }]);
        assert_eq!(shaped(&cases), (403, json!({ "a": { "b": "there", "c": true }, "says": "gone" })));
    }
}
