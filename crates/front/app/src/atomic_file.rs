//! Writes files so that a crash leaves the old file or the new one, never half of one.
#![expect(clippy::disallowed_methods, reason = "the one file of the room that writes and replaces files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A temporary file that atomically replaces `path`; removed on drop unless `persist` was called.
///
/// A crash leaves the old file or the new one in place, and perhaps a temporary file that nobody reads.
pub struct TempFile<'p> {
    path: &'p Path,
    temporary: PathBuf,
}

impl<'p> TempFile<'p> {
    /// Writes the temporary file with the owner and the mode of `path`; until it is complete only its owner can read it.
    /// `path` must not be a link.
    pub fn write(path: &'p Path, bytes: &[u8]) -> io::Result<Self> {
        let meta = path.metadata()?;
        let (temporary, mut file) = Self::create(path)?;
        file.write_all(bytes)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (meta.uid(), meta.gid()) {
            std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// An empty temporary file with a name of this process's own, so that no other process writes into it.
    fn create(path: &'p Path) -> io::Result<(Self, File)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = match open() {
            // An earlier process with the same id was killed before it replaced the file. In a container, all have it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&temporary)?;
                open()?
            }
            opened => opened?,
        };
        Ok((Self { path, temporary }, file))
    }

    /// Replaces the file.
    pub fn persist(self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)?;
        sync_folder(self.path)
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        // After `persist` there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Replaces a file of the state folder, or makes it; only its owner can use it. `path` must not be a link.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (new, mut file) = TempFile::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    new.persist()
}

/// Writes a file that must not exist yet. A file that cannot be written completely is removed.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
