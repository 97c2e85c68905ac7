//! keyroll-host as it is shipped: static, so that it runs on every host of its kind of machine.

use std::fs;
use std::process::Command;

use super::page::Figure;
use crate::run::{output, root};

/// The largest keyroll-host, bytes.
const BYTES_MAX: u64 = 18_000_000;

/// For which machine it is built. With a named target, what runs while building stays dynamic.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The variable that makes the program of this target static, and its value.
const STATIC: (&str, &str) =
    ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");

/// Where the program lies beside keyroll.
const BINARY: &str = "target/dist/keyroll-host";

/// Builds it, puts it beside keyroll, and measures its size.
pub(super) fn size(all: &mut Vec<Figure>) -> Result<(), String> {
    let words =
        ["build", "--profile", "host", "--quiet", "-p", "keyroll", "--bin", "keyroll-host", "--target"];
    let mut command = Command::new("cargo");
    command.args(words).arg(TARGET).env(STATIC.0, STATIC.1).current_dir(root());
    let status = command.status().map_err(|error| format!("could not start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the static build of keyroll-host ended with {status}"));
    }
    let built = root().join("target").join(TARGET).join("host/keyroll-host");
    let bytes =
        fs::copy(&built, root().join(BINARY)).map_err(|error| format!("{}: {error}", built.display()))?;
    let kind = output("file", &["-b", BINARY])?;
    if !kind.contains("static") {
        return Err(format!("{BINARY} is not static: {kind}"));
    }
    if bytes > BYTES_MAX {
        return Err(format!("{BINARY} has {bytes} bytes, {BYTES_MAX} at most"));
    }
    all.push(Figure {
        what: "size of keyroll-host, static",
        value: format!("{:.1} MB", f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6),
        limit: "≤ 18 MB",
        command: "cargo build --profile host -p keyroll --bin keyroll-host, with +crt-static",
    });
    Ok(())
}
