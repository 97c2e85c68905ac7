//! The text of the file.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

use crate::{ConfigError, Kind, Position};

/// The largest keyroll.toml that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1_048_576;

/// How a text begins that another encoding has: UTF-16, in either order of its bytes.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Reads the file up to a limit. Refuses anything but a regular file (opening a FIFO would wait for ever).
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let meta = path.metadata().map_err(|error| not_reached(path, &error))?;
    if meta.is_dir() {
        let help = format!("name the file in it: --config {}", path.join("keyroll.toml").display());
        return Err(helped(path, "it is a folder", &help));
    }
    if !meta.is_file() {
        return Err(unreadable(path, "it is not a regular file"));
    }
    let too_large = || unreadable(path, &format!("it is larger than {CONFIG_BYTES_MAX} bytes"));
    if meta.len() > CONFIG_BYTES_MAX {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the one file that this room reads")]
    let file = File::open(path).map_err(|error| not_reached(path, &error))?;
    file.take(CONFIG_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error.to_string()))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(too_large());
    }
    String::from_utf8(bytes)
        .map_err(|error| not_utf_8(path, error.as_bytes(), error.utf8_error().valid_up_to()))
}

/// The error of a file that is not there, or that this user may not read.
fn not_reached(path: &Path, error: &Error) -> ConfigError {
    let why = error.to_string();
    if error.kind() == ErrorKind::PermissionDenied {
        return helped(path, &why, "run keyroll as a user who may read it");
    }
    if path.is_symlink() {
        let help = "correct the link, or name another file with --config FILE";
        return helped(path, &format!("it is a link that leads to no file: {why}"), help);
    }
    if error.kind() == ErrorKind::NotFound {
        return helped(path, &why, "make one with `keyroll init`, or name it with --config FILE");
    }
    unreadable(path, &why)
}

/// The error of bytes that are no text; so many of them are.
fn not_utf_8(path: &Path, bytes: &[u8], valid: usize) -> ConfigError {
    let is_utf_16 = UTF_16.iter().any(|begin| bytes.starts_with(begin));
    let (what, at) = if is_utf_16 {
        ("it is UTF-16", None)
    } else {
        let before = bytes.get(..valid).and_then(|before| std::str::from_utf8(before).ok());
        ("it is not UTF-8 from here on", before.map(|before| Position::of(before, valid)))
    };
    refused(path, what, at, Some("save it as UTF-8"))
}

pub(crate) fn unreadable(path: &Path, why: &str) -> ConfigError {
    refused(path, why, None, None)
}

fn helped(path: &Path, why: &str, help: &str) -> ConfigError {
    refused(path, why, None, Some(help))
}

/// The error of a file that cannot be read, from this place on if one is known.
fn refused(path: &Path, why: &str, at: Option<Position>, help: Option<&str>) -> ConfigError {
    let message = format!("cannot be read: {why}");
    ConfigError::new(Kind::Unreadable, &path.display().to_string(), message, at, help.map(str::to_owned))
}
