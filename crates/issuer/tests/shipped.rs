//! The specs that come with the program.

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

/// The schema in the reference is generated. `UPDATE=1 cargo test -p keyroll-issuer --test shipped` writes it anew.
#[test]
fn the_schema_in_the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/issuer-spec.schema.json");
    let mut text = serde_json::to_string_pretty(&spec_schema()).unwrap();
    text.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "run the test with UPDATE=1 and commit {path}");
}
