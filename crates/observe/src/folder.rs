use std::path::{Path, PathBuf};

use crate::proc::ProcFolder;
use crate::{NotVisible, ProcessId};

/// The folder that a process stands in, as this process sees it.
///
/// # Errors
/// The process is gone or closed to this user; [`NotVisible::Malformed`] where it sees other folders than this one: it has
/// a root or mounts of its own.
pub fn working_folder(process: &ProcessId) -> Result<PathBuf, NotVisible> {
    let theirs = ProcFolder::open_exact(process)?;
    let ours = ProcFolder::open(std::process::id())?;
    let same = theirs.link("ns/mnt")? == ours.link("ns/mnt")? && theirs.link("root")? == Path::new("/");
    if same { theirs.link("cwd") } else { Err(NotVisible::Malformed) }
}
