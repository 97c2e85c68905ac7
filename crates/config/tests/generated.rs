//! The generated files are those of the types. `cargo xtask codegen` writes them anew.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::path::Path;

fn current(path: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "docs/reference/{path} is not current: cargo xtask codegen");
}

#[test]
fn the_reference_page_is_current() {
    current("config.md", &keyroll_config::reference_markdown());
}

#[test]
fn the_schema_is_current() {
    let text = serde_json::to_string_pretty(&keyroll_config::schema()).unwrap() + "\n";
    current(keyroll_config::SCHEMA_FILE_NAME, &text);
}

#[test]
fn every_code_has_its_page() {
    for number in 1..=15 {
        let page = format!("../../docs/errors/K{number:04}.md");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&page).is_file(), "{page} is missing");
    }
}
