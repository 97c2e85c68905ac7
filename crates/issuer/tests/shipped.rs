//! The specs that come with the program.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use keyroll_issuer::{Spec, spec_schema};
use keyroll_rotation::{LastUsed, MintedBy, Overlap};

#[test]
fn shipped_specs_are_read() {
    for name in Spec::names() {
        let spec = Spec::shipped(name).unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
        assert!(spec.needs_admin() && !spec.sources().is_empty(), "{name}");
        let capabilities = spec.capabilities();
        assert_eq!(capabilities.minted_by, MintedBy::Api);
        assert!(capabilities.list && capabilities.label, "{name}");
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
    for text in
        [include_str!("../../../issuers/openrouter.toml"), include_str!("../../../issuers/sendgrid.toml")]
    {
        let spec: serde_json::Value = toml::from_str(text).unwrap();
        known(&spec, &schema, &schema, "");
    }
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
