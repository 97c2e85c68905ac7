use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::wrap::WRAPPED_BYTES_MAX;
use crate::{SealError, SealingKey, Wrapped};

/// Read and write for the owner alone.
const KEY_FILE_MODE: u32 = 0o600;

/// Why the file of the sealing key could not be used; never shows what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system refused an operation on the file.
    #[error("could not {action} the sealing key {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key exists there. It is never overwritten: everything that it sealed would be lost.
    #[error("a sealing key is already at {0}; it is never overwritten")]
    Exists(PathBuf),
    /// Group or others may use the file.
    #[error("the sealing key {path} has mode {mode:04o}; run `chmod 600 {path}`, and check who read it")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file of exactly 32 bytes, nor a wrapped key.
    #[error(
        "{0} is not a sealing key (a regular file of 32 bytes, or a wrapped key); restore it from its backup"
    )]
    NotAKey(PathBuf),
    /// No random bytes for a new key.
    #[error("could not make a sealing key")]
    Seal(#[source] SealError),
}

/// What the file of the sealing key holds.
pub enum KeyFile {
    /// The key itself: a reader of the file has it.
    Bare(SealingKey),
    /// A wrapped key; another secret, stored elsewhere, opens it.
    Wrapped(Wrapped),
}

impl KeyFile {
    /// Reads a file that only its owner may use.
    ///
    /// Errors: unreadable, open to group or others, or neither a bare nor a wrapped key.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        // Type and mode are read from the open file, so the file that was checked is the file that is read. Without
        // O_NONBLOCK, a FIFO in place of the key would block this call for ever.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(fail("open"))?;
        let metadata = file.metadata().map_err(fail("inspect"))?;
        if !metadata.is_file() || metadata.len() > WRAPPED_BYTES_MAX {
            return Err(KeyFileError::NotAKey(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Open { path: path.to_owned(), mode });
        }
        if metadata.len() == SealingKey::BYTES as u64 {
            let mut bytes = Zeroizing::new([0; SealingKey::BYTES]);
            (&file).read_exact(bytes.as_mut()).map_err(fail("read"))?;
            return Ok(Self::Bare(SealingKey::from_bytes(bytes)));
        }
        let mut text = Vec::new();
        file.take(WRAPPED_BYTES_MAX).read_to_end(&mut text).map_err(fail("read"))?;
        let wrapped = Wrapped::parse(&text).ok_or_else(|| KeyFileError::NotAKey(path.to_owned()))?;
        Ok(Self::Wrapped(wrapped))
    }

    /// Writes the key to a new file of mode 0600.
    ///
    /// The bytes are on the disk before the name exists, and `link` makes the name, which never replaces a file. After
    /// a crash the whole key exists or none; of two processes that try at once, one gets [`KeyFileError::Exists`]. The
    /// folder must exist.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        let temporary = folder_of(path).join(temporary_name()?);
        let kept = write_new(&temporary, path, &self.bytes()).and_then(|()| link(&temporary, path));
        let removed = fs::remove_file(&temporary);
        kept?;
        let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        removed.map_err(fail("remove the temporary file of"))?;
        sync_folder(path)
    }

    /// Writes the key beside the file that it will replace; that file does not change before [`Staged::commit`]. A
    /// leftover of an earlier attempt is overwritten: two processes must not do this at once.
    pub fn stage(&self, path: &Path) -> Result<Staged, KeyFileError> {
        let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        let real = path.canonicalize().map_err(fail("resolve"))?;
        let mut name = real.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = real.with_file_name(name);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("remove what was left beside")(error));
            }
            Ok(()) | Err(_) => {}
        }
        write_new(&beside, &real, &self.bytes())?;
        Ok(Staged { beside, real })
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Bare(key) => Zeroizing::new(key.expose().to_vec()),
            Self::Wrapped(wrapped) => Zeroizing::new(wrapped.to_text().into_bytes()),
        }
    }
}

/// A key file beside the one that it will replace; removed when dropped.
pub struct Staged {
    beside: PathBuf,
    real: PathBuf,
}

impl Staged {
    /// Its path, to read it back.
    pub fn path(&self) -> &Path {
        &self.beside
    }

    /// Replaces the old file in one step: after a crash either the old or the new file is there, complete.
    pub fn commit(self) -> Result<(), KeyFileError> {
        fs::rename(&self.beside, &self.real).map_err(|source| KeyFileError::Io {
            action: "replace",
            path: self.real.clone(),
            source,
        })?;
        sync_folder(&self.real)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing to remove.
        let _ = fs::remove_file(&self.beside);
    }
}

impl SealingKey {
    /// Makes a new random key and writes it bare to a new file; see [`KeyFile::create`].
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let key = Self::generate().map_err(KeyFileError::Seal)?;
        KeyFile::Bare(key.duplicate()).create(path)?;
        Ok(key)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn sync_folder(path: &Path) -> Result<(), KeyFileError> {
    let fail = |source| KeyFileError::Io { action: "fsync the folder of", path: path.to_owned(), source };
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(fail)
}

/// As in Linux's <asm-generic/fcntl.h>.
const O_NONBLOCK: i32 = 0o4000;

fn temporary_name() -> Result<String, KeyFileError> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyFileError::Seal(SealError::Library))?;
    Ok(format!(".keyroll-sealing-key-{:016x}.tmp", u64::from_le_bytes(random)))
}

fn write_new(at: &Path, path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(KEY_FILE_MODE)
        .open(at)
        .map_err(fail("create a temporary file for"))?;
    file.write_all(bytes).map_err(fail("write"))?;
    file.sync_all().map_err(fail("fsync"))
}

fn link(temporary: &Path, path: &Path) -> Result<(), KeyFileError> {
    fs::hard_link(temporary, path).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists(path.to_owned())
        } else {
            KeyFileError::Io { action: "create", path: path.to_owned(), source }
        }
    })
}
