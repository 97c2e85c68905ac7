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

/// Writes a text durably, completely or not at all.
pub(super) fn keep_whole(folder: &Path, name: &str, text: &str) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
