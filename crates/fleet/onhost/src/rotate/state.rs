//! The folder of keyroll's own records on this host.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_host::keep_whole;
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
fn unusable(class: Class, folder: &Path) -> Failure {
    Failure::new(class, Code::FolderUnsuitable, format!("use the folder {} on this host", folder.display()))
}

/// No record can be kept in the folder at this moment.
pub(super) fn unwritable(folder: &Path) -> Failure {
    // What does not exist is in no file system: the nearest folder that does has the space.
    let there = folder.ancestors().find(|one| one.is_dir()).unwrap_or(folder).display();
    unusable(Class::Retryable, folder)
        .help(format!("make room there, or mount it writable: df -h {there}; findmnt -T {there}"))
}

/// Refuses a folder in which no record can be kept at this moment. What is written for that is removed; the folder stays.
///
/// # Errors
/// The system refuses it: a rotation would stop there once it has begun.
#[expect(clippy::disallowed_methods, reason = "the trial record is keyroll's own")]
pub(super) fn try_record(folder: &Path) -> Result<(), Failure> {
    // Two plans may be made at the same time.
    let name = format!("trial-{}", std::process::id());
    let kept = keep_whole(folder, &name, "keyroll-host can keep a record here\n");
    for left in [format!("{name}-new"), name] {
        // What was never made cannot be removed.
        let _ = fs::remove_file(folder.join(left));
    }
    kept.map_err(|error| unwritable(folder).because(error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_record_leaves_the_folder_empty_and_a_folder_that_takes_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        for _ in 0..2 {
            try_record(&state).unwrap();
            check(&state).unwrap();
            assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        }
        // Nobody, not even root, makes a folder there.
        let failure = try_record(Path::new("/proc/keyroll-host")).unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "K0803"));
        assert!(failure.help.unwrap().contains("df -h /proc;"));
    }
}
