//! The folder of keyroll's own records on this host.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::process::geteuid;

use crate::hello::home;

/// Where root keeps it.
const OF_ROOT: &str = "/var/lib/keyroll-host";

/// Where other users keep it, below their home.
const BELOW_HOME: &str = ".local/state/keyroll-host";

/// The folder of this user; `None` if the user has no home. Nothing is made.
pub(crate) fn default_folder() -> Option<PathBuf> {
    match geteuid().is_root() {
        true => Some(PathBuf::from(OF_ROOT)),
        false => home().map(|home| home.join(BELOW_HOME)),
    }
}

/// No folder is known.
pub(super) fn no_folder() -> Failure {
    Failure::new(Class::Permanent, Code::FolderUnsuitable, "find a folder for keyroll's records on this host")
        .because("/etc/passwd has no home folder for this user")
        .help("let keyroll log in as a user with a home folder")
}

/// The folder cannot be used.
pub(super) fn unusable(class: Class, folder: &Path) -> Failure {
    Failure::new(class, Code::FolderUnsuitable, format!("use the folder {} on this host", folder.display()))
}

/// Refuses a folder that belongs to another user, or that others can access. One that does not exist is no problem.
///
/// # Errors
/// Why it is refused, and what to do.
pub(super) fn check(folder: &Path) -> Result<(), Failure> {
    let problem = || unusable(Class::Permanent, folder);
    let meta = match folder.metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(problem().because(error)),
    };
    if !meta.is_dir() {
        return Err(problem().because("it is not a folder").help("look at what is there, and move it away"));
    }
    let user = geteuid().as_raw();
    if meta.uid() != user {
        return Err(problem()
            .because(format!("it belongs to user {}, and this is user {user}", meta.uid()))
            .help(format!("chown {user} {}", folder.display())));
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(problem()
            .because(format!("other users can access it (mode {mode:04o})"))
            .help(format!("chmod 700 {}", folder.display())));
    }
    Ok(())
}
