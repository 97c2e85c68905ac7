use std::path::{Path, PathBuf};

use crate::proc::ProcFolder;
use crate::{NotVisible, ProcessId};

/// A process's working folder, named as the process sees it: a container has another tree.
///
/// # Errors
/// It is not visible, and why.
pub fn working_folder(process: &ProcessId) -> Result<PathBuf, NotVisible> {
    ProcFolder::open_exact(process)?.link("cwd")
}

/// Where a process writes its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To a terminal.
    Terminal,
    /// To a file or device of this name.
    File(PathBuf),
    /// To a pipe, a socket or a file without a name; or it is not visible.
    Elsewhere,
}

/// Where a process writes its standard output.
pub fn output_of(process: &ProcessId) -> Output {
    let link = ProcFolder::open_exact(process).and_then(|folder| folder.link("fd/1"));
    let Ok(path) = link else { return Output::Elsewhere };
    if path.starts_with("/dev/pts") || path.starts_with("/dev/tty") || path == Path::new("/dev/console") {
        return Output::Terminal;
    }
    // A file that was removed has words behind its name.
    if path.is_absolute() && path.exists() { Output::File(path) } else { Output::Elsewhere }
}

/// Whether the same names lead to other files for a process than for this one: it has its own mount namespace.
///
/// # Errors
/// It is not visible, and why.
pub fn has_other_files(process: &ProcessId) -> Result<bool, NotVisible> {
    let own = std::fs::read_link("/proc/self/ns/mnt").map_err(|error| NotVisible::of_io(&error))?;
    Ok(ProcFolder::open_exact(process)?.link("ns/mnt")? != own)
}
