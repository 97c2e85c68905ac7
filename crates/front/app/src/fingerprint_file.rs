//! The fingerprint file: one machine writes it, and a scanner on another machine reads it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_needle::{FINGERPRINT_FILE_BYTES_MAX, FingerprintSet};

use crate::atomic_file;
use crate::atomic_file::TempFile;
use crate::problem::Problem;

/// Only the owner can read it: a reader can test whether a text contains a value.
const MODE: u32 = 0o600;

/// The first bytes of every fingerprint file, of any version.
const BEGINS: &[u8] = b"keyroll-prints ";

/// Reads a fingerprint file completely.
///
/// # Errors
/// The file does not exist, is not a fingerprint file, or was changed, truncated, or written in an unknown form.
pub fn read(path: &Path) -> Result<FingerprintSet, Problem> {
    let problem = || {
        Problem::new(
            Code::LeaksInputInvalid,
            format!("read the fingerprint file {}", keyroll_observe::shown(path)),
        )
    };
    let bytes = keyroll_observe::read_small(path, FINGERPRINT_FILE_BYTES_MAX).map_err(|error| {
        problem().because_of(&error).help("name the file that keyroll fingerprints --out FILE wrote")
    })?;
    FingerprintSet::from_bytes(bytes.expose()).map_err(|error| {
        problem().because_of(&error).help(
            "export it again on the machine that has the secrets: keyroll fingerprints --out FILE --replace",
        )
    })
}

/// Writes a fingerprint file: a new one only for its owner; a replaced one keeps owner and mode.
///
/// # Errors
/// A file exists and may not be replaced, or is not a fingerprint file; or it cannot be written, and then the old file
/// stays.
pub fn write(path: &Path, prints: &FingerprintSet, replace: bool) -> Result<(), Problem> {
    let bytes = prints.to_bytes();
    if replace && path.symlink_metadata().is_ok() {
        return replaced(path, &bytes);
    }
    atomic_file::create(path, &bytes, MODE).map_err(|error| {
        let problem = not_written(path).because_of(&error);
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => {
                problem.help("the file was left unchanged; name another one, or replace it with --replace")
            }
            false => problem,
        }
    })
}

fn replaced(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let failed = |error: io::Error| not_written(path).because_of(&error);
    // A link is resolved: the file behind it is replaced.
    let target = path.canonicalize().map_err(failed)?;
    let old = keyroll_observe::read_small(&target, FINGERPRINT_FILE_BYTES_MAX).map_err(failed)?;
    if !old.expose().starts_with(BEGINS) {
        return Err(not_written(path)
            .because("the existing file is not a fingerprint file")
            .help("the file was left unchanged; name another one"));
    }
    // Owner and mode stay, so a file of another user, or one that others can read or write, is refused.
    let meta = target.metadata().map_err(failed)?;
    if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o026 != 0 {
        return Err(not_written(path)
            .because(
                "the existing file belongs to another user, or others can write it, or everyone can read it",
            )
            .help("the file was left unchanged; remove it, or name another one"));
    }
    TempFile::write(&target, bytes).and_then(TempFile::persist).map_err(failed)
}

fn not_written(path: &Path) -> Problem {
    Problem::new(
        Code::FingerprintsNotExported,
        format!("write the fingerprints to {}", keyroll_observe::shown(path)),
    )
}
