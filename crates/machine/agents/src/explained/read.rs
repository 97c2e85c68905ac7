use std::path::{Path, PathBuf};

use keyroll_database::Foreign;
use keyroll_observe::read_small;
use keyroll_secret::SecretBytes;

use crate::database::open;
use crate::document::{DocumentError, FILE_BYTES_MAX, Node};

/// The content of a regular file, which a link may lead to; `None` = no such file, or it cannot be read.
pub(super) fn bytes(path: &Path) -> Option<SecretBytes> {
    read_small(path, FILE_BYTES_MAX).ok()
}

/// A settings file. `Err` = the file exists and cannot be understood.
pub(super) fn node(
    path: &Path,
    read: fn(&[u8]) -> Result<Node, DocumentError>,
) -> Option<Result<Node, DocumentError>> {
    bytes(path).map(|file| read(file.expose()))
}

/// A folder that a variable names, or the usual one in the home.
pub(super) fn folder(look: &super::Look<'_>, variable: &str, usual: &str) -> PathBuf {
    (look.tells)(variable).map_or_else(|| look.home.join(usual), PathBuf::from)
}

/// A SQLite database. A large one is read from its file alone, without its log (`-wal`).
pub(super) fn database(path: &Path) -> Result<Foreign, &'static str> {
    open(path)?.map(|opened| opened.database).ok_or("its database is gone")
}
