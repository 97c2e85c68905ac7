//! The state of a file that a restart would load.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use keyroll_secret::SecretBytes;
use rustix::fs::OFlags;

/// The largest file that is read; a larger one is identified by its inode, size and times.
const READ_BYTES_MAX: u64 = 4 << 20;

/// One file.
pub(super) struct FileFingerprint {
    /// When its content was last written, milliseconds since 1970.
    pub(super) written_unix_ms: u64,
    /// When its content, name or rights were last changed. Unlike the other time, nobody can set it back with `touch`.
    pub(super) changed_unix_ms: u64,
    /// It begins like a script.
    pub(super) script: bool,
    /// What distinguishes it from another content: the content itself, or inode, size and times of a large file.
    pub(super) mark: Vec<u8>,
    /// The content of a file that is not large.
    pub(super) content: Option<SecretBytes>,
}

/// Reads a file, which may hold a value and is never shown.
#[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
pub(super) fn file_fingerprint(path: &Path) -> Result<FileFingerprint, String> {
    let read = || -> std::io::Result<FileFingerprint> {
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        let written_unix_ms = millis(meta.mtime(), meta.mtime_nsec());
        let changed_unix_ms = written_unix_ms.max(millis(meta.ctime(), meta.ctime_nsec()));
        let content = if meta.len() <= READ_BYTES_MAX { Some(content(file)?) } else { None };
        let script = content.as_ref().is_some_and(|content| content.expose().starts_with(b"#!"));
        let mark = match &content {
            Some(content) => digest(content),
            None => format!("{} {} {} {}", meta.dev(), meta.ino(), meta.len(), written_unix_ms).into_bytes(),
        };
        Ok(FileFingerprint { written_unix_ms, changed_unix_ms, script, mark, content })
    };
    read().map_err(|error| error.to_string())
}

/// The digest of a content; it is keyed once more before it is kept.
fn digest(content: &SecretBytes) -> Vec<u8> {
    crate::Digest::of(content).as_bytes().to_vec()
}

fn content(file: File) -> std::io::Result<SecretBytes> {
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(SecretBytes::new(bytes))
}

fn millis(seconds: i64, nanoseconds: i64) -> u64 {
    let ms = seconds.saturating_mul(1_000).saturating_add(nanoseconds / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}
