use std::fs;
use std::io;
use std::path::Path;

use keyroll_config::CONFIG_BYTES_MAX;

use crate::beside::{self, Beside};
use crate::problem::Problem;

/// The text of a configuration file that is about to be edited.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    let problem = || Problem::new("K0001", format!("read {}", path.display()));
    let meta = path.metadata().map_err(|error| problem().because_of(&error))?;
    if !meta.is_file() || meta.len() > CONFIG_BYTES_MAX {
        return Err(problem().because("it is not a regular file, or too large"));
    }
    fs::read_to_string(path).map_err(|error| problem().because_of(&error))
}

/// Writes a file that must not exist yet, mode 0644 less the umask: it holds no value. `option` is what names another.
pub(crate) fn create(path: &Path, text: &str, option: &str) -> Result<(), Problem> {
    let written = beside::create(path, text.as_bytes(), 0o644);
    written.map_err(|error| {
        let problem = Problem::new("K0804", format!("write {}", path.display())).because_of(&error);
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => problem.help(format!("it is left as it is; name another with {option} FILE")),
            false => problem,
        }
    })
}

/// Puts a new text in place of the old, in one step; the mode stays. Refused if the file is not what was read.
pub(crate) fn replace(path: &Path, old: &str, new: &str) -> Result<(), Problem> {
    // Through a link the file that is meant is the one behind it.
    let problem = || Problem::new("K0804", format!("write {}", path.display()));
    let path = path.canonicalize().map_err(|error| problem().because_of(&error))?;
    let beside = Beside::write(&path, new.as_bytes()).map_err(|error| problem().because_of(&error))?;
    if !holds(&path, old).map_err(|error| problem().because_of(&error))? {
        return Err(problem().because("somebody else changed it meanwhile").help("run the command again"));
    }
    beside.put().map_err(|error| problem().because_of(&error))
}

/// Whether a file has this text and nothing else; it is not read where its length says no.
fn holds(path: &Path, text: &str) -> io::Result<bool> {
    let meta = path.metadata()?;
    Ok(meta.is_file() && meta.len() == text.len() as u64 && fs::read(path)? == text.as_bytes())
}
