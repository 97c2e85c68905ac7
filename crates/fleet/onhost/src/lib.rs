//! What keyroll-host does on a host: it inspects the host, makes the reports there, and answers the driver.
//!
//! Invariants, by what is absent: nothing is written on the host, and nothing there is changed; no value leaves it, only
//! keyed fingerprints, labels and texts from which values were cut out; nothing is kept after the connection.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod check;
mod failed;
mod harden;
mod hello;
mod host;
mod leaks;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use crate::host::Host;

/// The exit code after words that mean nothing here.
const USAGE: u8 = 2;

/// The program `keyroll-host`: `serve` answers the driver at standard input and output until the input ends.
pub fn main() -> ExitCode {
    harden::process();
    let mut words = std::env::args_os().skip(1);
    let (first, second) = (words.next(), words.next());
    match (first.as_deref().and_then(OsStr::to_str), second) {
        (Some("serve"), None) => ExitCode::from(number(&serve(io::stdin(), io::stdout(), leave))),
        (Some("--version"), None) => {
            let told = writeln!(io::stdout(), "keyroll-host {}", env!("CARGO_PKG_VERSION"));
            if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        (Some(_) | None, Some(_) | None) => {
            let usage = "keyroll starts this program on hosts: keyroll-host serve, keyroll-host --version";
            drop(writeln!(io::stderr(), "{usage}"));
            ExitCode::from(USAGE)
        }
    }
}

/// Answers a driver. `leave` is called when the driver has gone, also in the middle of a search.
///
/// # Errors
/// What the driver sent cannot be understood, or the answer cannot be written.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    keyroll_link::serve(input, output, &mut Host::default(), leave)
}

/// The driver has gone: nothing that still runs here is wanted.
fn leave(ended: &io::Result<()>) {
    std::process::exit(i32::from(number(ended)))
}

/// The exit code; an error is printed for whoever started the program.
fn number(ended: &io::Result<()>) -> u8 {
    match ended {
        Ok(()) => 0,
        Err(error) => {
            drop(writeln!(io::stderr(), "keyroll-host: {error}"));
            1
        }
    }
}
