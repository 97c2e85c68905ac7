use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{SealError, SealingKey};

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
    /// A key is there already; it is never overwritten, since what it sealed would be lost.
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
    /// Not a regular file of exactly 32 bytes.
    #[error("{0} is not a sealing key (a regular file of exactly 32 bytes); restore it from its backup")]
    NotAKey(PathBuf),
    /// No random bytes for a new key.
    #[error("could not make a sealing key")]
    Seal(#[source] SealError),
}

impl SealingKey {
    /// Reads the key from a file that only its owner may use.
    ///
    /// Errors: unreadable, open to group or others, or not exactly 32 bytes.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        // Type and mode are read from the open file: what was checked is what is read. Without O_NONBLOCK a FIFO
        // in the key's place would block us for ever.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(fail("open"))?;
        let metadata = file.metadata().map_err(fail("inspect"))?;
        if !metadata.is_file() || metadata.len() != Self::BYTES as u64 {
            return Err(KeyFileError::NotAKey(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Open { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        (&file).read_exact(bytes.as_mut()).map_err(fail("read"))?;
        Ok(Self::from_bytes(bytes))
    }

    /// Makes a new random key and keeps it in a new file of mode 0600.
    ///
    /// The bytes are on the disk before the name exists, and the name is made by `link`, which never replaces: a
    /// crash leaves the whole key or none, and of two who try at once one gets [`KeyFileError::Exists`]. The folder
    /// must exist.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let key = Self::generate().map_err(KeyFileError::Seal)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let temporary = folder.join(temporary_name()?);
        let kept = keep(&key, &temporary, path);
        let removed = fs::remove_file(&temporary);
        kept?;
        let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        removed.map_err(fail("remove the temporary file of"))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail("fsync the folder of"))?;
        Ok(key)
    }
}

/// As in Linux's <asm-generic/fcntl.h>.
const O_NONBLOCK: i32 = 0o4000;

fn temporary_name() -> Result<String, KeyFileError> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyFileError::Seal(SealError::Library))?;
    Ok(format!(".keyroll-sealing-key-{:016x}.tmp", u64::from_le_bytes(random)))
}

fn keep(key: &SealingKey, temporary: &Path, path: &Path) -> Result<(), KeyFileError> {
    let fail = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(KEY_FILE_MODE)
        .open(temporary)
        .map_err(fail("create a temporary file for"))?;
    file.write_all(key.expose()).map_err(fail("write"))?;
    file.sync_all().map_err(fail("fsync"))?;
    fs::hard_link(temporary, path).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists(path.to_owned())
        } else {
            KeyFileError::Io { action: "create", path: path.to_owned(), source }
        }
    })
}
