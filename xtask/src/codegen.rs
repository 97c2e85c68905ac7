use crate::run::run;

/// The tests that compare a committed document with what the types say; with `UPDATE_DOCS=1` they write it.
const GENERATED: [&str; 3] = ["keyroll-config", "keyroll-issuer", "keyroll"];

/// Writes what is generated, or says what is out of date.
pub(crate) fn codegen(check: bool) -> Result<(), String> {
    if !check {
        // The documents' own tests write them when they are told to.
        println!("writing docs/reference: UPDATE_DOCS=1 cargo test -p <room> reference");
    }
    for package in GENERATED {
        run("cargo", &["test", "--quiet", "-p", package, "reference"])?;
    }
    Ok(())
}
