use std::path::PathBuf;

use crate::proc::ProcFolder;
use crate::{NotVisible, ProcessId};

/// A process's working folder, named as the process sees it: a container has another tree.
///
/// # Errors
/// It is not visible, and why.
pub fn working_folder(process: &ProcessId) -> Result<PathBuf, NotVisible> {
    ProcFolder::open_exact(process)?.link("cwd")
}

/// Whether the same names lead to other files for a process than for this one: it has its own mount namespace.
///
/// # Errors
/// It is not visible, and why.
pub fn has_other_files(process: &ProcessId) -> Result<bool, NotVisible> {
    let own = std::fs::read_link("/proc/self/ns/mnt").map_err(|error| NotVisible::of_io(&error))?;
    Ok(ProcFolder::open_exact(process)?.link("ns/mnt")? != own)
}
