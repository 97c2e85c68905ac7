//! The files of a log: the current one, and the names of rotated ones.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

/// How many entries of the log's folder are looked at to find a log that was renamed.
const FOLDER_ENTRIES_MAX: usize = 10_000;

/// How many bytes before the remembered place show whether the file was truncated and filled again.
const BEFORE_BYTES_MAX: u64 = 256;

/// How far a log has been read: which file, and up to where. Kept between two runs of keyroll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The file system.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
    /// When that file was made, nanoseconds since the Unix epoch; 0 where the file system does not say. The number
    /// of a removed file is given to the next one, so the number alone would take a new log for the old.
    pub born_unix_ns: u64,
    /// The offset after the last line that was counted.
    pub offset: u64,
    /// A checksum of the bytes before it: a log that was truncated and grew past this offset again has other bytes
    /// there. `None` = no checksum was stored.
    pub before: Option<u64>,
}

impl LogPosition {
    /// Of an open file, at an offset.
    pub(crate) fn at(file: &File, offset: u64) -> std::io::Result<Self> {
        let data = file.metadata()?;
        let (device, inode, born_unix_ns) = identity(&data);
        Ok(Self { device, inode, born_unix_ns, offset, before: Some(before(file, offset)?) })
    }

    pub(crate) fn is_of(&self, data: &Metadata) -> bool {
        (self.device, self.inode, self.born_unix_ns) == identity(data)
    }

    /// Whether the counted bytes are still before this offset in the file.
    pub(crate) fn holds_in(&self, file: &File) -> std::io::Result<bool> {
        let length = file.metadata()?.len();
        let known =
            self.before.map_or(Ok(true), |known| before(file, self.offset).map(|now| now == known))?;
        Ok(length >= self.offset && known)
    }
}

fn identity(data: &Metadata) -> (u64, u64, u64) {
    let born = data.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born_unix_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
    (data.dev(), data.ino(), born_unix_ns)
}

/// FNV-1a over the last bytes before an offset: it recognises a file, and protects nothing.
fn before(file: &File, offset: u64) -> std::io::Result<u64> {
    let length = offset.min(BEFORE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset - length + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    let hash = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(bytes.iter().take(filled).fold(0xcbf2_9ce4_8422_2325, hash))
}

pub(crate) fn unreadable(path: &Path, class: Class) -> Failure {
    Failure::new(class, Code::LogUnreadable, format!("read the log {}", path.display()))
        .help("name a regular file that this user may read under `log` in the configuration")
}

/// The regular file under a name; `None` if there is none.
#[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
pub(crate) fn open(path: &Path) -> Result<Option<File>, Failure> {
    // A FIFO under this name must not block the opening.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, Class::Permanent).because(error)),
    };
    let kind = file.metadata().map_err(|error| unreadable(path, Class::Permanent).because(error))?;
    if !kind.is_file() {
        return Err(unreadable(path, Class::Permanent).because("it is not a regular file"));
    }
    Ok(Some(file))
}

fn siblings(path: &Path) -> Vec<(PathBuf, Metadata)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(FOLDER_ENTRIES_MAX).flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, data)| data.is_file())
        .collect()
}

/// A log that was renamed: the remembered file under another name in the same folder.
pub(crate) fn renamed(path: &Path, old: &LogPosition) -> Option<File> {
    let mut all = siblings(path).into_iter();
    all.find(|(_, data)| old.is_of(data)).and_then(|(path, _)| open(&path).ok().flatten())
}

/// The files that had the log's name after one file and before another, oldest first. `false` = one of them is
/// compressed, or cannot be opened.
pub(crate) fn between(path: &Path, first: &File, last: &File) -> (Vec<File>, bool) {
    let (Ok(first), Ok(last)) = (first.metadata(), last.metadata()) else { return (Vec::new(), false) };
    let mut later: Vec<(PathBuf, Metadata)> = siblings(path)
        .into_iter()
        .filter(|(name, data)| is_rotated(path, name) && is_later(data, &first))
        .filter(|(_, data)| identity(data) != identity(&first) && identity(data) != identity(&last))
        .collect();
    later.sort_by_key(|(_, data)| modified_ns(data));
    let (mut files, mut whole) = (Vec::new(), true);
    for (name, _) in later {
        match open(&name).ok().flatten().filter(|_| !is_compressed(&name)) {
            Some(file) => files.push(file),
            None => whole = false,
        }
    }
    (files, whole)
}

fn modified_ns(data: &Metadata) -> u64 {
    let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(0)
}

/// Whether a file has lines from after another one was begun. Its birth alone does not show that: compressing makes a
/// new file, which keeps the time of the last line. Nor does the last line alone: a writer may switch late to the new
/// file.
fn is_later(data: &Metadata, first: &Metadata) -> bool {
    match (identity(data).2, identity(first).2) {
        (0, _) | (_, 0) => modified_ns(data) >= modified_ns(first),
        (born, begun) => born >= begun && modified_ns(data) >= begun,
    }
}

/// `app.log.1`, `app.log-20261120`, `app-20261120.log`, `app.1.log`: a number after the name, or before its extension.
/// Source: logrotate(8), `dateext`, `extension`, `start`.
fn is_rotated(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.as_encoded_bytes().to_vec());
    let stem = path.file_stem().map(|stem| stem.as_encoded_bytes().to_vec());
    let Some(other) = name(other) else { return false };
    name(path).into_iter().chain(stem).any(|start| {
        matches!(other.strip_prefix(start.as_slice()), Some([b'.' | b'-' | b'_', digit, ..]) if digit.is_ascii_digit())
    })
}

fn is_compressed(path: &Path) -> bool {
    let known = ["gz", "xz", "zst", "bz2", "lz4", "Z", "zip"];
    path.extension().is_some_and(|extension| known.iter().any(|one| extension == *one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_logs_are_known_by_their_numbers() {
        for (log, other, rotated) in [
            ("a/app.log", "a/app.log.1", true),
            ("a/app.log", "a/app.log-20261120.gz", true),
            ("a/app.log", "a/app-20261120.log", true),
            ("a/app.log", "a/app.2.log", true),
            ("a/app.log", "a/app.log", false),
            ("a/app.log", "a/app.log.err", false),
            ("a/app.log", "a/apple.log.1", false),
        ] {
            assert_eq!(is_rotated(Path::new(log), Path::new(other)), rotated, "{other}");
        }
    }
}
