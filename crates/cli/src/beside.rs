use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What is written beside a file, and then put in its place in one step. Dropped before that, it is taken away again.
///
/// After a crash the old file stands, or the new one, and perhaps one beside it that nobody reads.
pub(crate) struct Beside<'p> {
    path: &'p Path,
    temporary: PathBuf,
}

impl<'p> Beside<'p> {
    /// With the owner and the mode of the file that it is for; until it is whole nobody else reads it. `path` is no link.
    pub(crate) fn write(path: &'p Path, bytes: &[u8]) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let meta = path.metadata()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let beside = Self { path, temporary };
        file.write_all(bytes)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (meta.uid(), meta.gid()) {
            std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        file.sync_all()?;
        Ok(beside)
    }

    /// Puts it in place.
    pub(crate) fn put(self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)?;
        sync_folder(self.path)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // It is there no more where it was put in place.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a file that must not exist yet. One that cannot be written whole is taken away again.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
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
