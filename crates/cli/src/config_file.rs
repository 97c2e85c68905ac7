use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keyroll_config::CONFIG_BYTES_MAX;

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

/// Writes a file that must not exist yet, mode 0644 less the umask: it holds no value.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), Problem> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let written = made.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let problem = Problem::new("K0804", format!("write {}", path.display())).because_of(&error);
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => problem.help("it is left as it is; name another with --config FILE"),
            false => problem,
        }
    })
}

/// Puts a new text in place of the old, in one step; the mode stays. Refused if the file is not what was read.
pub(crate) fn replace(path: &Path, old: &str, new: &str) -> Result<(), Problem> {
    // Through a link the file that is meant is the one behind it.
    let problem = || Problem::new("K0804", format!("write {}", path.display()));
    let path = path.canonicalize().map_err(|error| problem().because_of(&error))?;
    let temporary = temporary(&path);
    let written = write_beside(&path, &temporary, new);
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(problem().because_of(&error));
    }
    if read(&path)? != old {
        let _ = fs::remove_file(&temporary);
        return Err(problem().because("somebody else changed it meanwhile").help("run the command again"));
    }
    let renamed = fs::rename(&temporary, &path).and_then(|()| sync_folder(&path));
    renamed.map_err(|error| problem().because_of(&error))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

fn write_beside(path: &Path, temporary: &Path, text: &str) -> io::Result<()> {
    let meta = path.metadata()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (meta.uid(), meta.gid()) {
        std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
