//! The Python package's copy of the detector: its tables are made from the rules and from the lists of this engine, and
//! its test vectors say what this engine finds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll_leak::{CandidateSource, Rules, TextKind, in_anything};
use serde_json::{Value, json};

const DETECT: &str = "sdk/python/src/keyroll/detect";
const VECTORS: &str = "sdk/python/tests/vectors.json";
const ENGINE: &str = "crates/leaks/leak/src";

const RULES_HEAD: &str = r#""""The rules of keyroll's detector. Generated from `rules/*.toml` by `cargo xtask codegen`: do not edit."""
from __future__ import annotations

from typing import Any

# Each rule: id, title, begins, holds, near, entropy, checksum, yields, block, expression.
RULES: tuple[tuple[Any, ...], ...] = (
"#;

const WORDS_HEAD: &str = r#""""The word lists of keyroll's detector. Generated from its engine: do not edit."""
from __future__ import annotations
"#;

/// The lists of the engine that the Python engine needs: the file, and the name of the constant in both languages.
const LISTS: [(&str, &str); 25] = [
    ("secret_names.rs", "LAST"),
    ("secret_names.rs", "JOINED"),
    ("secret_names.rs", "AFTER"),
    ("secret_names.rs", "ABOUT"),
    ("secret_names.rs", "PASSING"),
    ("secret_names.rs", "OF_REQUESTS"),
    ("secret_names.rs", "HARMLESS_KEYS"),
    ("secret_names.rs", "CHOSEN"),
    ("secret_names.rs", "DIRECTIVES"),
    ("allowlist.rs", "SEALED"),
    ("allowlist.rs", "HASHES"),
    ("allowlist.rs", "PUBLIC"),
    ("allowlist.rs", "SCHEMES"),
    ("allowlist.rs", "REFERENCES"),
    ("allowlist.rs", "PLACEHOLDERS"),
    ("allowlist.rs", "PLACEHOLDER_WORDS"),
    ("allowlist.rs", "WHOLE"),
    ("allowlist.rs", "FOLDERS"),
    ("allowlist/published.rs", "PUBLISHED"),
    ("confidence.rs", "DOCUMENTED"),
    ("confidence.rs", "OF_NAMES"),
    ("inline_context.rs", "STATEMENTS"),
    ("inline_context/url_credentials.rs", "BEFORE"),
    ("weak_value.rs", "COMMON"),
    ("weak_value.rs", "PAIRS"),
];

/// Compares each table with the file of the package; with `UPDATE_DOCS` it is written instead.
#[test]
fn the_tables_of_the_python_package_are_current() {
    for (name, text) in [("_rules.py", rules_py()), ("_words.py", words_py())] {
        let path = at(&format!("{DETECT}/{name}"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, text).unwrap();
        } else {
            assert!(fs::read_to_string(path).unwrap() == text, "{name} is out of date: cargo xtask codegen");
        }
    }
}

/// The Python tests hold the package to what is found here in the same texts. A new text is written by
/// `sdk/python/tools/vectors.py`, and what is found in it by this test with `UPDATE_DOCS`.
#[test]
fn the_vectors_of_the_python_package_are_current() {
    let rules = Rules::shipped().unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&read(VECTORS)).unwrap();
    let mut lines = Vec::new();
    let mut found = 0;
    for vector in &vectors {
        let reversed = vector["reversed"].as_str().unwrap();
        let text: String = reversed.chars().rev().collect();
        let here = findings(&text, rules);
        found += here.as_array().unwrap().len();
        if std::env::var_os("UPDATE_DOCS").is_none() {
            assert_eq!(vector["found"], here, "(backwards) {reversed}");
        }
        // A name of an issuer on the line of a value would make it look like a credential.
        lines.push(format!("{{\"reversed\": {},\n \"found\": {here}}}", literal(reversed)));
    }
    assert!(vectors.len() > 2_000 && found > 1_000, "{} texts, {found} findings", vectors.len());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(at(VECTORS), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
}

/// What is found in a text, with positions in characters.
fn findings(text: &str, rules: &Rules) -> Value {
    let letters = |bytes: usize| text.get(..bytes).map_or(0, |before| before.chars().count());
    let all = in_anything(text.as_bytes(), rules).into_iter();
    let found = all.filter(|one| one.is_likely(text.as_bytes(), TextKind::Program)).map(|one| {
        let (rule, title) = match (one.rule, one.by) {
            (Some(rule), _) => (rule.id.as_str(), rule.title.as_str()),
            (None, CandidateSource::Name) => ("named-secret", "value under the name of a secret"),
            (None, _) if text.as_bytes().get(one.span.end) == Some(&b'@') => {
                ("connection-password", "password of a connection string")
            }
            (None, _) => ("sent-credential", "password or token in a request"),
        };
        json!({"rule": rule, "title": title, "start": letters(one.span.start), "end": letters(one.span.end)})
    });
    Value::Array(found.collect())
}

/// The table of rules. A string of JSON is one of Python too.
fn rules_py() -> String {
    let mut text = RULES_HEAD.to_owned();
    for rule in written() {
        let empty = Vec::new();
        let words = |key: &str| {
            let all = rule.get(key).and_then(toml::Value::as_array).unwrap_or(&empty);
            let all: Vec<String> = all.iter().filter_map(toml::Value::as_str).map(literal).collect();
            let comma = if all.len() == 1 { "," } else { "" };
            format!("({}{comma})", all.join(", "))
        };
        let of = |key: &str| literal(rule.get(key).and_then(toml::Value::as_str).unwrap_or_default());
        let is = |key: &str| match rule.get(key).and_then(toml::Value::as_bool) {
            Some(true) => "True",
            _ => "False",
        };
        let entropy = match rule.get("entropy") {
            Some(toml::Value::Float(bits)) => *bits,
            Some(toml::Value::Integer(bits)) => f64::from(i32::try_from(*bits).unwrap()),
            _ => 0.0,
        };
        let fields = [
            of("id"),
            of("title"),
            words("begins"),
            words("holds"),
            words("near"),
            format!("{entropy:?}"),
            of("checksum"),
            is("yields").to_owned(),
            is("block").to_owned(),
            of("regex"),
        ];
        writeln!(text, "    ({}),", fields.join(", ")).unwrap();
    }
    text.push_str(")\n");
    text
}

/// The word lists, read from the engine's source: they are its own affair, and no interface of the crate.
fn words_py() -> String {
    let mut text = WORDS_HEAD.to_owned();
    for (file, name) in LISTS {
        let source = read(&format!("{ENGINE}/{file}"));
        let body = list(&source, name).unwrap_or_else(|| panic!("{file}: there is no list {name}"));
        let items: Vec<String> = match name {
            "LAST" => body.split("&[").skip(1).map(|words| strings(words).join(" ")).collect(),
            "PUBLISHED" => {
                let hashes = body.split("0x").skip(1);
                let hex = |rest: &str| rest.split(',').next().unwrap_or_default().replace('_', "");
                hashes.map(|rest| hex(rest).trim().to_owned()).collect()
            }
            _ => strings(&body),
        };
        let lines: String = items.iter().map(|one| format!("    {},\n", literal(one))).collect();
        write!(text, "\n{name} = (\n{lines})\n").unwrap();
    }
    text
}

/// The rules as they are written, in the order in which they count.
fn written() -> Vec<toml::Table> {
    let mut by_id = BTreeMap::new();
    for file in fs::read_dir(at("rules")).unwrap() {
        let file: toml::Table = fs::read_to_string(file.unwrap().path()).unwrap().parse().unwrap();
        for rule in file["rule"].as_array().unwrap() {
            by_id.insert(rule["id"].as_str().unwrap().to_owned(), rule.as_table().unwrap().clone());
        }
    }
    Rules::shipped().unwrap().iter().map(|rule| by_id.remove(&rule.id).unwrap()).collect()
}

/// The text between the brackets of a constant, without comments.
fn list(source: &str, name: &str) -> Option<String> {
    let from = source.split_once(&format!("const {name}:"))?.1;
    let from = from.split_once('=')?.1.split_once('[')?.1;
    let body = from.split_once("];")?.0;
    let lines = body.lines().filter(|line| !line.trim_start().starts_with("//"));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// The string literals in a source, unescaped as far as the lists need it.
fn strings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = source.chars();
    while letters.by_ref().any(|letter| letter == '"') {
        let mut one = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => one.extend(letters.next()),
                _ => one.push(letter),
            }
        }
        found.push(one);
    }
    found
}

fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
