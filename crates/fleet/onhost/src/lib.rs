//! What keyroll-host does on a host: it inspects the host, makes the reports there, carries out the orders of a rotation,
//! and answers the driver; or it makes one connection to a server, and carries its bytes.
//!
//! Invariants, by what is absent: a look writes nothing, and changes nothing; a rotation writes what its plan names, and
//! keyroll's own records; no value leaves the host, only keyed fingerprints, labels and texts from which values were cut
//! out; nothing but those records is kept after the connection.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod check;
mod ending;
mod failed;
mod harden;
mod hello;
mod host;
mod leaks;
mod reach;
mod rotate;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::ending::Ending;
use crate::host::Host;
use crate::rotate::{Rotating, default_folder};

pub use crate::reach::reach;

/// The exit code after words that mean nothing here.
const USAGE: u8 = 2;

/// The exit code after a newer driver has taken over.
const OVERTAKEN: i32 = 1;

/// The program `keyroll-host`: `serve` answers the driver at standard input and output until the input ends; `reach` makes one
/// connection from this host, and carries its bytes.
pub fn main() -> ExitCode {
    harden::process();
    let mut words = std::env::args_os().skip(1);
    let (first, second) = (words.next(), words.next());
    match (first.as_deref().and_then(OsStr::to_str), second) {
        (Some("serve"), None) => ExitCode::from(number(&serve(io::stdin(), io::stdout(), leave))),
        (Some("reach"), None) => ExitCode::from(number(&reach(io::stdin(), io::stdout()))),
        (Some("--version"), None) => {
            let told = writeln!(io::stdout(), "keyroll-host {}", env!("CARGO_PKG_VERSION"));
            if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        (Some(_) | None, Some(_) | None) => {
            let usage = "keyroll starts this program on hosts: keyroll-host serve, keyroll-host reach, \
                keyroll-host --version";
            drop(writeln!(io::stderr(), "{usage}"));
            ExitCode::from(USAGE)
        }
    }
}

/// Answers a driver. `leave` is called when the driver has gone, also in the middle of a search; an order that changes
/// something is finished first. The program ends if a newer driver takes over a rotation.
///
/// # Errors
/// What the driver sent cannot be understood, or the answer cannot be written.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    let ending = Arc::new(Ending::default());
    let rotating = Rotating::new(default_folder(), Arc::clone(&ending), Arc::new(overtaken));
    serve_with(rotating, ending, input, output, leave)
}

/// The same with keyroll's records in this folder, and with what is done when a newer driver has taken over.
///
/// # Errors
/// As [`serve`].
pub fn serve_in(
    state: PathBuf,
    overtaken: impl Fn() + Send + Sync + 'static,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    let ending = Arc::new(Ending::default());
    let rotating = Rotating::new(Some(state), Arc::clone(&ending), Arc::new(overtaken));
    serve_with(rotating, ending, input, output, leave)
}

fn serve_with(
    rotating: Rotating,
    ending: Arc<Ending>,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    let mut host = Host::new(rotating);
    let leave = move |ended: &io::Result<()>| {
        ending.wait();
        leave(ended);
    };
    keyroll_link::serve(input, output, &mut host, leave)
}

/// A newer driver has taken over: this program must not change anything any more.
fn overtaken() {
    drop(writeln!(io::stderr(), "keyroll-host: a newer driver has taken over"));
    std::process::exit(OVERTAKEN)
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
