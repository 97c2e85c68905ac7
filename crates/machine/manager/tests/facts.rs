//! The page of managers agrees with the code, and each of its rows names a test.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_manager::{manager_facts, managers_markdown};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("facts.rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_row_names_a_test() {
    let mut all = String::new();
    for room in fs::read_dir(root().join("crates")).unwrap().flatten() {
        sources(&room.path(), &mut all);
    }
    for row in manager_facts() {
        let there = all.contains(&format!("fn {}()", row.test));
        assert!(there, "{} · {}: there is no test `{}`", row.manager, row.source, row.test);
        for one in row.services {
            assert!(all.contains(&format!("name: \"{}\",", one.name)), "there is no service `{}`", one.name);
        }
    }
    // And each form of the configuration that runs something has a row.
    for form in [
        "restart",
        "signal",
        "rereads",
        "unit",
        "timer",
        "at_rest",
        "compose",
        "container",
        "supervisor",
        "pm2",
        "runit",
        "master",
        "cron",
        "exec",
    ] {
        assert!(manager_facts().any(|row| row.manager == format!("`{form}`")), "{form} has no row");
    }
}

#[test]
fn the_page_is_current() {
    let file = root().join("docs/reference/managers.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, managers_markdown()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == managers_markdown(), "docs/reference/managers.md is not current: cargo xtask codegen");
}
