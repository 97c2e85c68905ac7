//! keyroll-host as it is shipped: static, so that it runs on every host of its kind of machine.

use std::fs;

use super::page::Figure;
use crate::dist::host_program;
use crate::run::{output, root};

/// The largest keyroll-host, bytes.
const BYTES_MAX: u64 = 18_000_000;

/// Where the program lies beside keyroll.
const BINARY: &str = "target/dist/keyroll-host";

/// Builds it, puts it beside keyroll, and measures its size.
pub(super) fn size(all: &mut Vec<Figure>) -> Result<(), String> {
    let built = host_program("host")?;
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
