//! The description of the API: it names every page, and what the server really answers fits it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::team::Team;

const PROBLEM: &str = "application/problem+json";
/// What is in a path item beside its operations.
const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

/// The document is the one of these pages, by method and path; the rotation `id` has ended, so that nothing begins.
#[track_caller]
pub fn describes(team: &Team, pages: &BTreeSet<(String, String)>, id: &str) {
    let answer = team.ask("vic", "GET", "/v1/openapi.json", "");
    let doc = answer.body;
    assert!(answer.head.to_lowercase().contains("content-type: application/json"), "{}", answer.head);
    assert!(doc["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{}", doc["openapi"]);
    assert_eq!(doc["info"]["version"], env!("CARGO_PKG_VERSION"));
    references(&doc, &doc);
    let mut described = BTreeSet::new();
    for (path, item) in doc["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().iter();
        for (method, operation) in operations.filter(|(key, _)| METHODS.contains(&key.as_str())) {
            let normal: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "{id}" } else { part }).collect();
            described.insert((method.clone(), normal.join("/")));
            for code in ["401", "403"] {
                assert!(operation["responses"][code].is_object(), "{method} {path} has no {code}");
            }
            // A stream has no end: it is asked for in a way that it refuses.
            let stream = if path == "/v1/events" { "?after=none" } else { "" };
            let real = normal.join("/").replace("{id}", id) + stream;
            answers(team, &doc, (method, path), operation, &real);
        }
    }
    // The description need not name itself, nor a page that is no JSON.
    let counts = |page: &&(String, String)| !["/v1/openapi.json", "/metrics"].contains(&page.1.as_str());
    let missing: Vec<_> = pages.difference(&described).filter(counts).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    let unknown: Vec<_> = described.difference(pages).filter(counts).collect();
    assert!(unknown.is_empty(), "described, and in no list of the tests: {unknown:?}");
}

/// A described page is there, with this method; what it answers fits the description.
#[track_caller]
fn answers(team: &Team, doc: &Value, (method, path): (&str, &str), operation: &Value, real: &str) {
    // No body that changes something: what is read is read, and the others are not understood.
    let body = if method == "get" { "" } else { "{" };
    let answer = team.ask("ada", &method.to_uppercase(), real, body);
    println!("{method} {path}: {}", answer.code);
    assert!(![404, 405, 500].contains(&answer.code), "{method} {path}: {answer:?}");
    let described = &operation["responses"][answer.code.to_string()];
    assert!(described.is_object(), "{method} {path} answers {} and does not say so", answer.code);
    let kind = if answer.code < 300 { "application/json" } else { PROBLEM };
    let schema = &described["content"][kind]["schema"];
    if ["/v1/openapi.json", "/metrics"].contains(&path) {
        return;
    }
    assert!(schema.is_object(), "{method} {path} has no {kind} for {}", answer.code);
    if let Err(why) = fits(doc, schema, &answer.body, path) {
        panic!("{method} {path} answers what it does not say: {why}\n{}", answer.body);
    }
}

/// Every reference leads somewhere.
#[track_caller]
fn references(doc: &Value, part: &Value) {
    match part {
        Value::Object(all) => {
            if let Some(to) = all.get("$ref").and_then(Value::as_str) {
                assert!(doc.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
            }
            all.values().for_each(|part| references(doc, part));
        }
        Value::Array(all) => all.iter().for_each(|part| references(doc, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A schema without references, with the parts that it is made of.
fn parts<'d>(doc: &'d Value, schema: &'d Value) -> Vec<&'d Value> {
    if let Some(to) = schema["$ref"].as_str() {
        return parts(doc, doc.pointer(to.trim_start_matches('#')).unwrap());
    }
    match schema["allOf"].as_array() {
        Some(all) => all.iter().flat_map(|part| parts(doc, part)).chain([schema]).collect(),
        None => vec![schema],
    }
}

/// Whether a value is one of a schema: as much of JSON Schema as the document uses. A key that is not described is
/// wrong.
fn fits(doc: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let parts = parts(doc, schema);
    let choices = |part: &&Value| part["oneOf"].is_array() || part["anyOf"].is_array();
    if let Some(choice) = parts.iter().find(|part| choices(part)) {
        let one = choice["oneOf"].as_array().or(choice["anyOf"].as_array()).into_iter().flatten();
        let tried: Vec<_> = one.map(|schema| fits(doc, schema, value, at)).collect();
        // Parts beside a choice have keys that the choice does not name.
        let whole = parts.len() == 1 && !tried.iter().any(Result::is_ok);
        return if whole { Err(format!("{at} fits none of {tried:?}")) } else { Ok(()) };
    }
    let listed = |value: &Value| match value {
        Value::Array(all) => all.clone(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value.clone()],
    };
    let kinds: Vec<Value> = parts.iter().flat_map(|part| listed(&part["type"])).collect();
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(value, kind.as_str().unwrap_or_default())) {
        return Err(format!("{at} is no {kinds:?}: {value}"));
    }
    for part in &parts {
        let words = listed(&part["enum"]);
        if !words.is_empty() && !words.contains(value) {
            return Err(format!("{at} is none of {words:?}: {value}"));
        }
    }
    match value {
        Value::Object(all) => object(doc, &parts, all, at),
        Value::Array(all) => {
            let items = parts.iter().map(|part| &part["items"]).filter(|items| items.is_object());
            items
                .flat_map(|items| all.iter().map(move |one| (items, one)))
                .try_for_each(|(items, one)| fits(doc, items, one, &format!("{at}[]")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn object(doc: &Value, parts: &[&Value], all: &Map<String, Value>, at: &str) -> Result<(), String> {
    let open = |part: &&&Value| {
        let more = &part["additionalProperties"];
        !more.is_null() && *more != false
    };
    for (key, value) in all {
        let known = parts.iter().find_map(|part| part["properties"].get(key));
        let other = parts.iter().find(open).map(|part| &part["additionalProperties"]);
        match known.or(other) {
            Some(Value::Bool(_)) => {}
            Some(schema) => fits(doc, schema, value, &format!("{at}.{key}"))?,
            None => return Err(format!("{at}.{key} is not described")),
        }
    }
    let required = parts.iter().filter_map(|part| part["required"].as_array()).flatten();
    match required.filter_map(Value::as_str).find(|key| !all.contains_key(*key)) {
        Some(key) => Err(format!("{at}.{key} is missing")),
        None => Ok(()),
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
