//! Puts the rules that come with the program into a form that is read in a millisecond: the files are for people.

#![allow(clippy::disallowed_methods, reason = "runs when keyroll is built")]

use std::error::Error;
use std::path::Path;
use std::{env, fs};

/// In the order in which they count: of two rules that say as much of one place the first one's is told.
const FILES: [&str; 8] =
    ["models", "code", "clouds", "databases", "messaging", "payments", "services", "keys"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut all = Vec::new();
    for name in FILES {
        let path = format!("../../../rules/{name}.toml");
        println!("cargo:rerun-if-changed={path}");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let mut file: toml::Table = text.parse().map_err(|error| format!("{path}: {error}"))?;
        let Some(toml::Value::Array(rules)) = file.remove("rule") else {
            return Err(format!("{path}: it has no rules").into());
        };
        for mut rule in rules {
            // They are for tests.
            if let Some(rule) = rule.as_table_mut() {
                rule.remove("positive");
                rule.remove("negative");
            }
            all.push(rule);
        }
    }
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("rules.json"), serde_json::to_string(&all)?)?;
    Ok(())
}
