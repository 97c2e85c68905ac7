//! The file of prints: what one machine writes and a scanner elsewhere reads.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_needle::{PRINTS_FILE_BYTES_MAX, Prints};

use crate::beside::{self, Beside};
use crate::problem::Problem;

/// Whoever can read it can ask whether a text holds a value.
const MODE: u32 = 0o600;

/// What every such file begins with, of whatever version.
const BEGINS: &[u8] = b"keyroll-prints ";

/// Reads it, whole or not at all.
///
/// # Errors
/// It is not there, is none, or was changed, cut, or written in a form that is not known.
pub(crate) fn read(path: &Path) -> Result<Prints, Problem> {
    let problem = || Problem::new("K0938", format!("read the prints of {}", keyroll_observe::shown(path)));
    let bytes = keyroll_observe::read_small(path, PRINTS_FILE_BYTES_MAX).map_err(|error| {
        problem().because_of(&error).help("name the file that keyroll prints --out FILE wrote")
    })?;
    Prints::from_bytes(bytes.expose()).map_err(|error| {
        problem()
            .because_of(&error)
            .help("have it written again where the values are kept: keyroll prints --out FILE --replace")
    })
}

/// Writes it: a new one for its owner alone; one that is replaced keeps owner and mode.
///
/// # Errors
/// A file is there and is not to be replaced, or is none of prints; or it cannot be written: then what was there stands.
pub(crate) fn write(path: &Path, prints: &Prints, replace: bool) -> Result<(), Problem> {
    let bytes = prints.to_bytes();
    if replace && path.symlink_metadata().is_ok() {
        return replaced(path, &bytes);
    }
    beside::create(path, &bytes, MODE).map_err(|error| {
        let problem = not_written(path).because_of(&error);
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => {
                problem.help("it is left as it is; name another, or put this in its place with --replace")
            }
            false => problem,
        }
    })
}

fn replaced(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let failed = |error: io::Error| not_written(path).because_of(&error);
    // Through a link the file that is meant is the one behind it.
    let target = path.canonicalize().map_err(failed)?;
    let old = keyroll_observe::read_small(&target, PRINTS_FILE_BYTES_MAX).map_err(failed)?;
    if !old.expose().starts_with(BEGINS) {
        return Err(not_written(path)
            .because("what stands there is no file of prints")
            .help("it is left as it is; name another file"));
    }
    // Owner and mode stay: another's file, or one that all may read, would hand them over; who may write it could forge it.
    let meta = target.metadata().map_err(failed)?;
    if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o026 != 0 {
        return Err(not_written(path)
            .because("what stands there is another's, or others may write it, or all may read it")
            .help("it is left as it is; take it out of the way, or name another file"));
    }
    Beside::write(&target, bytes).and_then(Beside::put).map_err(failed)
}

fn not_written(path: &Path) -> Problem {
    Problem::new("K0937", format!("write the prints to {}", keyroll_observe::shown(path)))
}
