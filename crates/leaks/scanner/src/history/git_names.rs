use std::path::PathBuf;

use keyroll_history::{ORIGINS_MAX, ObjectId};

use crate::Skipped;

/// A path from the bytes of a tree or the index.
pub(crate) fn as_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// An abbreviated id, as long as git's.
pub(crate) fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

/// The source of an unreachable object.
pub(crate) fn nowhere(id: &ObjectId) -> String {
    format!("git object {id}, not reachable from any reference")
}

/// For an object with more paths than are listed.
pub(crate) fn elsewhere(id: &ObjectId) -> Skipped {
    let why = format!("it has more than {ORIGINS_MAX} paths; not all are listed");
    Skipped { what: format!("object {id}"), why }
}
