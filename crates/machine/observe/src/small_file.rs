use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_secret::SecretBytes;
use rustix::fs::{OFlags, ResolveFlags};

use crate::inside::{open, open_below};
use crate::{NotVisible, within};

/// How long a file may take to be read.
const WAIT: Duration = Duration::from_secs(5);

/// How long a folder in which a file did not answer is not read again.
const SILENT: Duration = Duration::from_secs(60);

/// The content of a regular file, which may be behind a link. Pipes, devices and sockets are not read and never block
/// the call; larger files are refused. Behind `/proc/PID/root` no link leads out of that root.
///
/// # Errors As for opening and reading the file; `InvalidInput` = no regular file, or too large; `TimedOut` = it did
/// not answer, as on a mount whose server is gone, or another file of its folder did not.
pub fn read_small(path: &Path, bytes_max: usize) -> std::io::Result<SecretBytes> {
    let file = path.to_owned();
    answered(path, WAIT, move || read(&|flags| open(&file, flags), bytes_max))
}

/// The same for a file below an untrusted folder: no link leads out of the folder.
///
/// # Errors As for [`read_small`]; `CrossesDevices` where a link leads out.
pub fn read_below(folder: &Path, rest: &Path, bytes_max: usize) -> std::io::Result<SecretBytes> {
    let (above, below) = (folder.to_owned(), rest.to_owned());
    let read = move || read(&|flags| open_below(&above, &below, flags, ResolveFlags::BENEATH), bytes_max);
    answered(&folder.join(rest), WAIT, read)
}

/// Runs the read on a thread of its own, with the rights of this one; the thread is abandoned if it does not return.
fn answered(
    path: &Path,
    wait: Duration,
    read: impl FnOnce() -> std::io::Result<SecretBytes> + Send + 'static,
) -> std::io::Result<SecretBytes> {
    /// Folders in which a file did not answer, and when.
    static FOLDERS: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());
    let folders = || FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = path.parent().unwrap_or(path);
    let silent = |above: &Path| folders().get(above).is_some_and(|since| since.elapsed() < SILENT);
    if folder.ancestors().any(silent) {
        return Err(ErrorKind::TimedOut.into());
    }
    match within(wait, read) {
        Ok(read) => read,
        Err(NotVisible::Stuck) => {
            folders().insert(folder.to_owned(), Instant::now());
            Err(ErrorKind::TimedOut.into())
        }
        Err(why) => Err(std::io::Error::other(why.to_string())),
    }
}

fn read(
    open: &dyn Fn(OFlags) -> rustix::io::Result<OwnedFd>,
    bytes_max: usize,
) -> std::io::Result<SecretBytes> {
    // The kind is checked first, because opening a device may have an effect.
    if !File::from(open(OFlags::PATH | OFlags::CLOEXEC)?).metadata()?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(flags)?);
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
    use rustix::fs::{CWD, Mode};

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_files_of_another() {
        let own = format!("/proc/{}/root", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::write(path.join("file"), "there").unwrap();
        std::os::unix::fs::symlink("file", path.join("near")).unwrap();
        let below = |path: &Path| Path::new(&own).join(path.strip_prefix("/").unwrap());
        assert_eq!(read_small(&below(&path.join("near")), 8).unwrap().expose(), b"there");
        assert_eq!(crate::read_regular(&below(&path.join("file")), 8).unwrap().bytes.as_slice(), b"there");
        // A link that the kernel would follow out of any root.
        let out = below(&Path::new(&own).join(path.strip_prefix("/").unwrap()).join("file"));
        assert!(read_small(&out, 8).is_err() && crate::read_regular(&out, 8).is_err());
        // An absolute link begins at the root.
        let root = path.join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file"), "of the root").unwrap();
        std::os::unix::fs::symlink("/file", root.join("link")).unwrap();
        std::os::unix::fs::symlink(path.join("file"), root.join("away")).unwrap();
        std::os::unix::fs::symlink("../file", root.join("up")).unwrap();
        std::os::unix::fs::symlink("./file", root.join("beside")).unwrap();
        let in_root =
            |name: &str| read(&|flags| open_below(&root, Path::new(name), flags, ResolveFlags::IN_ROOT), 20);
        assert_eq!(in_root("link").unwrap().expose(), b"of the root");
        assert_eq!(in_root("up").unwrap().expose(), b"of the root");
        assert_eq!(in_root("away").map(drop).unwrap_err().kind(), ErrorKind::NotFound);
        // For a mounted folder nobody knows where that root is.
        assert_eq!(read_below(&root, Path::new("beside"), 20).unwrap().expose(), b"of the root");
        for out in ["link", "up", "away", "../file"] {
            let error = read_below(&root, Path::new(out), 20).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CrossesDevices, "{out}");
        }
    }

    #[test]
    fn a_file_that_does_not_answer_is_left_behind_and_its_folder_is_not_asked_again() {
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let path = Path::new("/mnt/gone/one");
        let gone = answered(path, Duration::from_millis(20), move || {
            // Blocks for as long as this test runs, like a read that never returns.
            let _ = waits.recv();
            Err(ErrorKind::NotFound.into())
        });
        assert_eq!(gone.map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
        let asked = || Err(ErrorKind::NotFound.into());
        let beside = answered(Path::new("/mnt/gone/below/two"), WAIT, asked);
        assert_eq!(beside.map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
        let other = answered(Path::new("/mnt/there/one"), WAIT, || Ok(SecretBytes::new(b"there".to_vec())));
        assert_eq!(other.unwrap().expose(), b"there");
        drop(let_go);
    }

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
