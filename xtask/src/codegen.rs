use crate::run::run;
use crate::tidy::storeys;

/// The packages whose tests compare a generated document with what the types say.
const GENERATED: [&str; 11] = [
    "keyroll-app",
    "keyroll-copy",
    "keyroll-codes",
    "keyroll-config",
    "keyroll-controller",
    "keyroll-issuer",
    "keyroll-leak",
    "keyroll-manager",
    "keyroll-agents",
    "keyroll-truth",
    "keyroll",
];

/// These tests have this word in their names.
const FILTER: &str = "current";

/// Writes the generated documents, or reports which of them are out of date.
pub(crate) fn codegen(check: bool) -> Result<(), String> {
    // Tidy compares the table of imports.
    if !check {
        storeys::write()?;
    }
    for package in GENERATED {
        let test = ["cargo", "test", "--quiet", "-p", package, FILTER];
        match check {
            true => run("cargo", test.get(1..).unwrap_or_default())?,
            // With this variable the tests write the documents instead of comparing them.
            false => run("env", &[&["UPDATE_DOCS=1"], test.as_slice()].concat())?,
        }
    }
    Ok(())
}
