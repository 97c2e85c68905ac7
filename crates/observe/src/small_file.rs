use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use keyroll_secret::SecretBytes;
use rustix::fs::{CWD, Mode, OFlags};

/// The whole of a regular file, which may be behind a link. Pipes, devices and sockets are not read, and never waited for;
/// a file that is larger is none that people write.
///
/// # Errors
/// As of opening and reading it; `InvalidInput` where it is no regular file or too large.
pub fn read_small(path: &Path, bytes_max: usize) -> std::io::Result<SecretBytes> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    // The name may lead to something else by then.
    let meta = file.metadata()?;
    let long = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    if !meta.is_file() || long > bytes_max {
        return Err(ErrorKind::InvalidInput.into());
    }
    // Reserved in full, since a vector that grows leaves a copy behind in freed memory.
    let mut bytes = Vec::with_capacity(bytes_max.min(long.saturating_add(1)));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    if read? > bytes_max { Err(ErrorKind::InvalidInput.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_small_and_regular_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345678").unwrap();
        std::os::unix::fs::symlink(&file, folder.path().join("link")).unwrap();
        assert_eq!(read_small(&folder.path().join("link"), 8).unwrap().expose(), b"12345678");
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
        for other in [file.as_path(), fifo.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_small(other, 7).map(drop).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
