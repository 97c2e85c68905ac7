//! The specs that come with the program.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use keyroll_issuer::{Spec, spec_schema};
use keyroll_rotation::{LastUsed, MintedBy, Overlap};

#[test]
fn shipped_specs_are_read() {
    for name in Spec::names() {
        let spec = Spec::shipped(name).unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
        assert!(!spec.sources().is_empty(), "{name}");
        let capabilities = spec.capabilities();
        // What nobody can find again by its label is found by its slot, or was made by a person.
        let found = capabilities.label || capabilities.overlap == Overlap::TwoSlots;
        match capabilities.minted_by {
            MintedBy::Human => assert!(spec.by_hand().is_some_and(|hand| !hand.steps.is_empty()), "{name}"),
            MintedBy::Api | MintedBy::Us => {
                assert!(spec.needs_admin() && capabilities.list && found, "{name}")
            }
        }
        assert_eq!(capabilities.last_used, LastUsed::NotVisible, "{name}");
    }
    assert!(Spec::shipped("openrouter").unwrap().capabilities().disable);
    let sendgrid = Spec::shipped("sendgrid").unwrap().capabilities();
    assert_eq!(sendgrid.overlap, Overlap::Independent { max: 100 });
    assert!(!sendgrid.disable);
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    let error = Spec::shipped("openruter").unwrap_err();
    assert_eq!(error.code, "K0115");
    assert!(error.help.unwrap().contains("did you mean `openrouter`"));
}

/// The schema in the reference is generated. `cargo xtask codegen` writes it anew.
#[test]
fn the_schema_in_the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/issuer-spec.schema.json");
    let mut text = serde_json::to_string_pretty(&spec_schema()).unwrap();
    text.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "{path} is not current: cargo xtask codegen");
}

/// Every key of the shipped specs stands in the schema, so that an editor does not call a good spec wrong.
#[test]
fn the_schema_knows_every_key_of_the_shipped_specs() {
    let schema = spec_schema();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../issuers");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        let spec: serde_json::Value = toml::from_str(&text).unwrap();
        known(&spec, &schema, &schema, "");
    }
    names.sort();
    assert_eq!(names, Spec::names(), "every spec of the folder is shipped");
}

fn known(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, path: &str) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#")) {
        return known(value, root.pointer(name).unwrap(), root, path);
    }
    if let Some(some) =
        schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null"))
    {
        return known(value, some, root, path);
    }
    if let Some(items) = value.as_array() {
        return items.iter().for_each(|item| known(item, &schema["items"], root, path));
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let own = &schema["properties"][key];
        let rest = &schema["additionalProperties"];
        assert!(
            own.is_object() || rest.is_object() || rest.as_bool() == Some(true),
            "{path} is not in the schema"
        );
        known(inner, if own.is_object() { own } else { rest }, root, &path);
    }
}
