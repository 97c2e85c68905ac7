use crate::run::run;

/// The packages whose tests compare a document under docs/reference with what the types say.
const GENERATED: [&str; 5] =
    ["keyroll-config", "keyroll-issuer", "keyroll-manager", "keyroll-agents", "keyroll"];

/// These tests have this word in their names.
const FILTER: &str = "current";

/// Writes what is generated, or says what is out of date.
pub(crate) fn codegen(check: bool) -> Result<(), String> {
    for package in GENERATED {
        let test = ["cargo", "test", "--quiet", "-p", package, FILTER];
        match check {
            true => run("cargo", test.get(1..).unwrap_or_default())?,
            // Told so, the tests write the document instead of comparing it.
            false => run("env", &[&["UPDATE_DOCS=1"], test.as_slice()].concat())?,
        }
    }
    Ok(())
}
