use serde_json::{Value, json};

use super::structural::{DESCRIPTION_BYTES_MAX, LEFT_OUT, ONLY, PRESERVE, SAID, shortened};
use super::*;
use crate::object::{
    Asked, Blocker, Condition, ConsumerStatus, Ended, Phase, Pods, RotationStatus, Status, Waits,
};

fn root() -> Value {
    crd().pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

/// Calls with each part of a schema, and where it is.
fn walk(part: &Value, at: &str, of: &mut dyn FnMut(&str, &Value)) {
    of(at, part);
    for (key, of_key) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(of_key, &format!("{at}.{key}"), of);
    }
    for word in ["items", "additionalProperties"] {
        if let Some(each) = part.get(word) {
            walk(each, &format!("{at}[]"), of);
        }
    }
}

#[test]
fn each_part_of_the_schema_is_structural() {
    let words = [
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minItems",
        PRESERVE,
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];
    let kinds = ["object", "array", "string", "integer", "number", "boolean"];
    let mut count = 0;
    walk(&root(), "", &mut |at, part| {
        count += 1;
        let part = part.as_object().unwrap_or_else(|| panic!("{at} is no table: {part}"));
        for word in part.keys() {
            assert!(words.contains(&word.as_str()), "{at} has {word}");
        }
        match part.get("type") {
            Some(kind) => assert!(kind.as_str().is_some_and(|kind| kinds.contains(&kind)), "{at} is {kind}"),
            None => assert_eq!(part.get(PRESERVE), Some(&json!(true)), "{at} has no type"),
        }
        let is = |kind: &str| part.get("type").is_some_and(|of| of == kind);
        assert_eq!(part.contains_key("items"), is("array"), "{at}");
        assert!(!(part.contains_key("properties") && part.contains_key("additionalProperties")), "{at}");
        let required = part.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            assert!(part["properties"].get(key).is_some(), "{at} requires {key}");
        }
        let description = part.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(
            description.len() <= DESCRIPTION_BYTES_MAX && !description.contains('\n'),
            "{at}: {description}"
        );
    });
    assert!(count > 100, "only {count} parts");
}

#[test]
fn the_keys_that_are_not_named_are_kept_in_each_table_of_the_spec() {
    walk(&root()["properties"]["spec"], "spec", &mut |at, part| {
        if part.get("type").is_some_and(|kind| kind == "object") && part.get("additionalProperties").is_none()
        {
            assert_eq!(part.get(PRESERVE), Some(&json!(true)), "{at}");
        }
    });
}

#[test]
fn the_spec_is_the_table_of_a_secret_as_far_as_an_object_has_it() {
    let root = root();
    let spec = &root["properties"]["spec"];
    assert_eq!(spec["required"], json!(["issuer", "consumers"]));
    assert_eq!(spec["properties"]["consumers"]["minItems"], json!(1));
    let consumer = &spec["properties"]["consumers"]["items"];
    assert_eq!(consumer["required"], json!(["name"]));
    let keys = |of: &Value| of["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(consumer),
        ["check", "name", "paths", "reads", "runs", "synced", "trusts", "versioned", "wave"]
    );
    assert_eq!(keys(&consumer["properties"]["reads"]), ["derived", "field", "key", "secret"]);
    assert_eq!(keys(&consumer["properties"]["check"]), ["exec"]);
    assert_eq!(
        keys(&consumer["properties"]["runs"]),
        ["canary", "container", "cronjob", "daemonset", "deployment", "job", "pod", "rereads", "statefulset"]
    );
    assert_eq!(consumer["properties"]["wave"]["type"], "integer");
    assert_eq!(consumer["properties"]["wave"].get("format"), None);
    assert_eq!(spec["properties"]["postgres"]["properties"]["port"]["maximum"], 65_535);
    // One text, or several.
    assert_eq!(spec["properties"]["window"].get("type"), None);
    assert_eq!(spec["properties"]["derived"]["additionalProperties"]["type"], "string");
    for key in ["unattended", "store", "revoke", "roll", "rotate_every", "admin"] {
        assert!(spec["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn each_key_that_is_left_out_or_means_something_else_is_one_of_its_table() {
    let schema = keyroll_config::schema();
    let is_there = |table: &str, key: &str| schema["$defs"][table]["properties"].get(key).is_some();
    for (table, key, why) in LEFT_OUT {
        assert!(is_there(table, key) && !why.is_empty(), "{table} {key}");
    }
    for (table, key, text) in SAID {
        assert!(is_there(table, key), "{table} {key}");
        assert_eq!(shortened(text), text);
    }
    for (table, keys) in ONLY {
        assert!(keys.iter().all(|key| is_there(table, key)), "{table} {keys:?}");
    }
}

#[test]
fn a_description_is_two_sentences_or_what_of_them_fits() {
    assert_eq!(shortened("One\nline. Two  lines. Three."), "One line. Two lines.");
    assert_eq!(shortened("v0.1.2 is one sentence"), "v0.1.2 is one sentence");
    let long = "word ".repeat(80);
    assert_eq!(shortened(&format!("Short. {long}")), "Short.");
    let cut = shortened(&long);
    assert!(cut.len() <= DESCRIPTION_BYTES_MAX && cut.ends_with("word…"), "{cut}");
}

/// A status that has each key.
fn full() -> Status {
    let text = || "a".to_owned();
    let waits = Waits {
        what: text(),
        since: text(),
        until: Some(text()),
        person: true,
        forward: Some(text()),
        back: Some(text()),
    };
    let rotation = RotationStatus {
        id: text(),
        began: text(),
        phase: Some(text()),
        old_key: text(),
        moved: 1,
        of: 2,
        driven: true,
        waits: Some(waits),
    };
    let pods = Pods { total: 3, current: 1, stale: 1, unknown: 1 };
    Status {
        observed_generation: 1,
        phase: Phase::Rotating,
        message: text(),
        secret: text(),
        version: Some(text()),
        since: Some(text()),
        due: Some(text()),
        rotation: Some(rotation),
        last_rotation: Some(Ended { id: text(), outcome: text(), ended: text(), cause: Some(text()) }),
        consumers: vec![ConsumerStatus {
            name: text(),
            workload: text(),
            stage: Some(text()),
            pods: Some(pods),
        }],
        blockers: vec![Blocker { what: text(), why: text(), next: text(), or_else: Some(text()) }],
        asked: Asked {
            rotate: Some(text()),
            plan: Some(text()),
            confirm: Some(text()),
            abort: Some(text()),
            resume: Some(text()),
            forget: Some(text()),
            refused_ask: Some(text()),
            refused_after: Some(text()),
            refused: Some(text()),
        },
        conditions: vec![Condition { kind: text(), observed_generation: 1, ..Condition::default() }],
    }
}

/// The keys of a value are those of its schema, and each value has the type that is written there.
fn same(value: &Value, part: &Value, at: &str) {
    let kind = match value {
        Value::Object(keys) => {
            let named = part["properties"].as_object().unwrap_or_else(|| panic!("{at} has no keys"));
            assert_eq!(keys.keys().collect::<Vec<_>>(), named.keys().collect::<Vec<_>>(), "{at}");
            for (key, value) in keys {
                same(value, &named[key], &format!("{at}.{key}"));
            }
            "object"
        }
        Value::Array(all) => {
            for one in all {
                same(one, &part["items"], &format!("{at}[]"));
            }
            "array"
        }
        Value::String(_) => "string",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Null => panic!("{at} is null"),
    };
    assert_eq!(part["type"], kind, "{at}");
}

#[test]
fn the_schema_of_the_status_has_each_key_of_a_status_and_no_other() {
    let status = serde_json::to_value(full()).unwrap();
    same(&status, &root()["properties"]["status"], "status");
}

#[test]
fn each_column_shows_a_key_that_is_there() {
    let definition = crd();
    let columns = definition.pointer("/spec/versions/0/additionalPrinterColumns").unwrap();
    let root = root();
    for column in columns.as_array().unwrap() {
        let path = column["jsonPath"].as_str().unwrap();
        let Some(path) = path.strip_prefix(".status.") else { continue };
        let pointer = format!("/properties/status/properties/{}", path.replace('.', "/properties/"));
        assert!(root.pointer(&pointer).is_some(), "{path}");
    }
}
