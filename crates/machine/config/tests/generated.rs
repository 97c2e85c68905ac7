//! The generated files are those of the types. `cargo xtask codegen` writes them anew.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::IssuerRef;
use keyroll_logins::login_server;

fn current(path: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference").join(path);
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

/// A child that runs another program holds up a rotation: who names a process by its id has to know that.
#[test]
fn the_reference_says_which_children_belong_to_the_process_of_a_pid_file() {
    let page = keyroll_config::reference_markdown();
    let line = page.lines().find(|line| line.starts_with("| `pid_file` |")).unwrap();
    assert!(line.contains("run the same executable, belong to the instance"), "{line}");
    assert!(line.contains("runs another program counts as an undeclared process"), "{line}");
}

/// The lines of a guide that name the fields of a login, and the fields that it asks for.
fn lines_of_fields(secret: &str, issuer: &IssuerRef) -> ([String; 2], String) {
    let (mut plain, mut hidden) = (Vec::new(), Vec::new());
    for (name, is_secret) in issuer.usual_fields() {
        if *is_secret { hidden.push(format!("`{name}`")) } else { plain.push(*name) }
    }
    let quoted: Vec<String> = plain.iter().map(|name| format!("`{name}`")).collect();
    // What the table of every server says.
    let (tabled, asked): (Vec<&str>, Vec<&str>) =
        plain.into_iter().partition(|name| ["host", "port", "dbname"].contains(name));
    let given: String = asked.iter().map(|name| format!(" --field {name}=TEXT")).collect();
    let tabled: Vec<String> = tabled.iter().map(|name| format!("`{name}`")).collect();
    let (last, before) = tabled.split_last().unwrap();
    let (quoted, hidden) = (quoted.join(", "), hidden.join(", "));
    let fields = format!(
        "Its fields are {quoted}, and {hidden}; only {hidden} is secret. {} and {last} come from the copies, \
         otherwise from the table above. Add them in one of two ways:",
        before.join(", ")
    );
    ([fields, format!("$ keyroll secret add {secret}{given}")], hidden)
}

/// The guides of servers name the fields that the table has. `cargo xtask codegen` writes the lines anew.
#[test]
fn the_guides_of_servers_name_the_current_fields() {
    let server = |word: &str| IssuerRef::Server(login_server(word).unwrap());
    let guides = [
        ("postgresql-login", "orders-db", server("postgres")),
        ("redis-user", "orders-cache", server("redis")),
        ("mariadb-account", "orders-db", server("mariadb")),
        ("rabbitmq-user", "orders-queue", server("rabbitmq")),
    ];
    for (guide, secret, issuer) in guides {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../../docs/guides/rotate-a-{guide}.md"));
        let mut text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("[secrets.{secret}]")), "{guide}");
        let (wanted, asked) = lines_of_fields(secret, &issuer);
        for (start, wanted) in ["Its fields are ", "$ keyroll secret add "].iter().zip(wanted) {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
            if std::env::var_os("UPDATE_DOCS").is_some() {
                text = text.replace(&line, &wanted);
                std::fs::write(&file, &text).unwrap();
            } else {
                assert!(line == wanted, "the fields in {guide} are not current: cargo xtask codegen");
            }
        }
        assert!(text.contains(&format!("The second prompts for {asked}.")), "{guide}");
    }
}

#[test]
fn every_number_of_a_mistake_leads_to_a_page() {
    for number in 1..=15 {
        let number = format!("K{number:04}");
        assert!(Code::parse(&number).is_some_and(|code| !code.page().is_empty()), "{number} has no page");
    }
}
