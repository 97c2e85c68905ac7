//! keyroll's own files in its work folder on this machine: none of them outlives its rotation.

#![expect(clippy::disallowed_methods, reason = "files of keyroll's own, not those of consumers")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

/// The lock files of rotations and hosts: they are empty, and removing one would break the exclusion.
const LOCK_SUFFIX: &str = ".lock";

/// The modes of the folder and of its files: nobody else may read them, whatever the umask is.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes the work folder where it is missing.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// A file in it, new or emptied.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// A file in it that must not be there yet.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Writes a text durably into one of keyroll's own files, completely or not at all. The folder is made where it is missing.
///
/// # Errors
/// The system refused it; the file is as it was.
pub fn keep_whole(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    make(folder)?;
    let beside = folder.join(format!("{name}-new"));
    let mut file = create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// Removes a file, if it exists. The next driver removes a file that stays behind.
pub(super) fn forget(path: &Path) {
    drop(fs::remove_file(path));
}

/// Removes from the work folder every file that belongs to no open rotation: records of commands, marks in logs, wrong
/// copies that a killed driver left. Only the holder of the state's lock may call this.
///
/// # Errors `K0315`: the system refused it; the next driver tries again.
pub fn tidy(work: &Path, open: &[&str]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Class::Retryable,
            Code::WriteFailed,
            format!("remove what is left over in {}", work.display()),
        )
        .because(error)
        .help("see who else may write there, then run the command again")
    };
    let entries = match fs::read_dir(work) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let of_open = open.iter().any(|id| name.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')));
        if of_open || name.ends_with(LOCK_SUFFIX) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// What the names of copies for checks begin with; the id of their process follows.
pub(super) const COPY: &str = "control-";

/// Removes the copies that this process made for checks, before it ends without their own end.
pub fn remove_own_copies(work: &Path) {
    remove_copies(work, |pid| pid == std::process::id());
}

/// Removes the copies for checks whose process has ended without removing them.
pub fn remove_left_copies(work: &Path) {
    remove_copies(work, |pid| !Path::new(&format!("/proc/{pid}")).exists());
}

/// Removes copies for checks by the id of their process. What cannot be removed is tried again at the next time.
fn remove_copies(work: &Path, goes: impl Fn(u32) -> bool) {
    for entry in fs::read_dir(work).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(COPY)?.split('-').next()?.parse().ok());
        if pid.is_some_and(&goes) {
            forget(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_for_checks_are_removed_with_their_process_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (std::process::id(), std::os::unix::process::parent_id());
        // Above the largest id that a kernel gives.
        let ended = (1_u32 << 22) + 1;
        let copy = |pid: u32| format!("control-{pid}-0-1");
        let names = [copy(own), copy(other), copy(ended), format!("aa-{ended}.pid"), "control-x".to_owned()];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        let left = || -> Vec<bool> { names.iter().map(|name| folder.path().join(name).exists()).collect() };
        remove_left_copies(folder.path());
        assert_eq!(left(), [true, true, false, true, true]);
        remove_own_copies(folder.path());
        assert_eq!(left(), [false, true, false, true, true]);
    }

    #[test]
    fn what_belongs_to_no_open_rotation_goes() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["aa-7.pid", "aa-logs", "aab-3.pid", "bb-7.pid", "control-12-ff", "0123.lock"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        tidy(folder.path(), &["aa"]).unwrap();
        let left: Vec<&str> = names.into_iter().filter(|name| folder.path().join(name).exists()).collect();
        assert_eq!(left, ["aa-7.pid", "aa-logs", "0123.lock"]);
        tidy(&folder.path().join("none"), &[]).unwrap();
    }
}
