use std::fs::{File, Metadata};
use std::io::Seek;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::NotVisible;
use crate::proc::read_bounded;

/// A file that was read.
pub struct Read {
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// It changed while it was read, and once more while it was read again: the bytes may be of several versions.
    pub changing: bool,
}

/// Reads a regular file whole. A link in its place is not followed, and a FIFO or a device does not block the call.
/// Behind `/proc/PID/root` no link leads out of that root.
///
/// # Errors
/// [`NotVisible::Vanished`] where no regular file is there, [`NotVisible::TooLarge`] above the limit.
pub fn read_regular(path: &Path, bytes_max: usize) -> Result<Read, NotVisible> {
    let (file, before) = open_regular(path)?;
    read_opened(file, before, bytes_max)
}

/// Opens a regular file, and says what it is.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), NotVisible> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(crate::inside::open(path, flags).map_err(NotVisible::of)?);
    // The kind of the opened file counts: its name may lead to another file by now.
    let data = file.metadata().map_err(|error| NotVisible::of_io(&error))?;
    if data.is_file() { Ok((file, data)) } else { Err(NotVisible::Vanished) }
}

pub(crate) fn read_opened(
    mut file: File,
    mut before: Metadata,
    bytes_max: usize,
) -> Result<Read, NotVisible> {
    let asked = |file: &File| file.metadata().map_err(|error| NotVisible::of_io(&error));
    let mut again = false;
    loop {
        let length = usize::try_from(before.len()).ok().filter(|length| *length <= bytes_max);
        let bytes = read_bounded(&mut file, length.ok_or(NotVisible::TooLarge)?, bytes_max)?;
        let after = asked(&file)?;
        let changing = version(&before) != version(&after);
        if again || !changing {
            return Ok(Read { bytes, changing });
        }
        again = true;
        before = after;
        file.rewind().map_err(|error| NotVisible::of_io(&error))?;
    }
}

/// A version that changes with every write. File times have the precision of the kernel's clock, so two writes within a
/// few milliseconds may look like one.
pub(crate) fn version(data: &Metadata) -> (u64, i64, i64, i64, i64) {
    (data.len(), data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_once_is_read_again_and_is_whole_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "before").expect("a file");
        let (file, before) = open_regular(&path).expect("open");
        std::fs::write(&path, "what it is now").expect("a file");
        let read = read_opened(file, before, 100).expect("read");
        assert_eq!((read.bytes.as_slice(), read.changing), (b"what it is now".as_slice(), false));
    }
}
