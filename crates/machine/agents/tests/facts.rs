//! The page of agents agrees with the code, and each row of a rotated agent names a test.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_agents::{AGENT_FACTS, Tried, agents_markdown};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

#[test]
fn each_row_that_is_rotated_names_a_test() {
    let tests = fs::read_dir(root().join("crates/front/cli/tests")).unwrap().flatten();
    let all: String = tests.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
    for row in AGENT_FACTS {
        let there = !row.test.is_empty() && all.contains(&format!("fn {}()", row.test));
        assert_eq!(there, matches!(row.tried, Tried::Rotated(_)), "{} · {}", row.agent, row.source);
    }
}

#[test]
fn the_page_is_current() {
    let file = root().join("docs/reference/agents.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, agents_markdown()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == agents_markdown(), "docs/reference/agents.md is not current: cargo xtask codegen");
}
