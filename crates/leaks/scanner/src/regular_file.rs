use std::fs::File;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens a regular file, without ever blocking; `None` for anything else.
pub(crate) fn open(path: &Path, follow: bool) -> std::io::Result<Option<File>> {
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    Ok(file.metadata()?.is_file().then_some(file))
}
