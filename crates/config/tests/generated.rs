//! The generated files are those of the types. `cargo xtask codegen` writes them anew.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::path::Path;

use keyroll_config::{IssuerRef, ServerKind};

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

/// How a guide says which fields a login has, and how it is taken in.
fn fields_of(secret: &str, issuer: &IssuerRef) -> String {
    let (mut plain, mut hidden) = (Vec::new(), Vec::new());
    for (name, is_secret) in issuer.usual_fields() {
        if *is_secret { hidden.push(format!("`{name}`")) } else { plain.push(*name) }
    }
    let quoted: Vec<String> = plain.iter().map(|name| format!("`{name}`")).collect();
    let given: String = plain.iter().map(|name| format!(" --field {name}=TEXT")).collect();
    format!(
        "Its fields are {}, and {}, which is secret. `keyroll secret import {secret}` takes in what the consumers' files \
         hold, and the rest by `--field NAME=TEXT`; `keyroll secret add {secret}{given}` asks for {}.",
        quoted.join(", "),
        hidden.join(", "),
        hidden.join(", ")
    )
}

/// The guides of servers say the fields of the table, and none by heart. `cargo xtask codegen` writes them anew.
#[test]
fn the_guides_of_servers_name_the_fields_that_there_are() {
    let server = |kind: ServerKind| IssuerRef::Server(kind);
    let guides = [
        ("postgresql-login", "orders-db", IssuerRef::Postgres),
        ("redis-user", "orders-cache", server(ServerKind::Redis)),
        ("mariadb-account", "orders-db", server(ServerKind::MariaDb)),
        ("rabbitmq-user", "orders-queue", server(ServerKind::RabbitMq)),
    ];
    for (guide, secret, issuer) in guides {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/guides/rotate-a-{guide}.md"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("[secrets.{secret}]")), "{guide}");
        let line = text.lines().find(|line| line.starts_with("Its fields are ")).unwrap();
        let wanted = fields_of(secret, &issuer);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, text.replace(line, &wanted)).unwrap();
        } else {
            assert!(line == wanted, "the fields in {guide} are not current: cargo xtask codegen");
        }
    }
}

#[test]
fn every_code_has_its_page() {
    for number in 1..=15 {
        let page = format!("../../docs/errors/K{number:04}.md");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&page).is_file(), "{page} is missing");
    }
}
