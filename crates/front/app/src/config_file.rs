//! Reads, creates and replaces a configuration file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use keyroll_codes::Code;
use keyroll_config::{COMPOSED, CONFIG_BYTES_MAX};

use crate::atomic_file;
use crate::atomic_file::TempFile;
use crate::problem::Problem;

/// The text of a configuration file that is about to be edited.
pub fn read(path: &Path) -> Result<String, Problem> {
    let problem = || Problem::new(Code::ConfigUnreadable, format!("read {}", path.display()));
    let meta = path.metadata().map_err(|error| problem().because_of(&error))?;
    if !meta.is_file() || meta.len() > CONFIG_BYTES_MAX {
        return Err(problem().because("it is not a regular file, or too large"));
    }
    fs::read_to_string(path).map_err(|error| problem().because_of(&error))
}

/// Writes a file that must not exist yet, with mode 0644 less the umask: it contains no value. `option` is the flag
/// that names another file.
pub fn create(path: &Path, text: &str, option: &str) -> Result<(), Problem> {
    let written = atomic_file::create(path, text.as_bytes(), 0o644);
    written.map_err(|error| {
        let problem =
            Problem::new(Code::ConfigNotWritten, format!("write {}", path.display())).because_of(&error);
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => problem.help(format!("the file was left unchanged; name another one with {option} FILE")),
            false => problem,
        }
    })
}

/// Replaces the old text atomically; the mode stays. Refused if the file changed since it was read.
pub fn replace(path: &Path, old: &str, new: &str) -> Result<(), Problem> {
    // A link is resolved: the file behind it is replaced.
    let problem = || Problem::new(Code::ConfigNotWritten, format!("write {}", path.display()));
    if old.starts_with(COMPOSED) {
        return Err(problem()
            .because("a server in a cluster writes this file, and would write over the change")
            .help("change the SecretRotation object of the secret, or the base file of the server"));
    }
    let path = path.canonicalize().map_err(|error| problem().because_of(&error))?;
    let temporary = TempFile::write(&path, new.as_bytes()).map_err(|error| problem().because_of(&error))?;
    if !holds(&path, old).map_err(|error| problem().because_of(&error))? {
        return Err(problem().because("another program changed it meanwhile").help("run the command again"));
    }
    temporary.persist().map_err(|error| problem().because_of(&error))
}

/// True if a file contains exactly this text; a file of another length is not read.
fn holds(path: &Path, text: &str) -> io::Result<bool> {
    let meta = path.metadata()?;
    Ok(meta.is_file() && meta.len() == text.len() as u64 && fs::read(path)? == text.as_bytes())
}

/// The absolute path of a configuration file.
pub fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path).map_err(|error| {
        Problem::new(Code::NameNotFound, format!("resolve {}", path.display())).because_of(&error)
    })
}
