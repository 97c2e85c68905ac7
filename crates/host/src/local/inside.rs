//! A file as another process sees it, in its own mount namespace.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use keyroll_observe::{ProcessId, within};
use keyroll_secret::SecretBytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// The largest file that is read through another process's root, bytes.
const READ_BACK_BYTES_MAX: u64 = 1 << 20;

/// How long one such file may take, milliseconds: its mount may be dead, and then nothing ever answers.
const READ_BACK_MS_MAX: u64 = 5_000;

/// A file as a process sees it.
pub(super) enum Inside {
    /// What it holds there.
    Holds(SecretBytes),
    /// Something stands there that cannot be read as a file: this process does not read the value from it.
    Other,
    /// The process's root is closed to this user, or has no such file: then whoever starts it reads this machine's.
    Outside,
}

pub(super) fn read_inside(process: &ProcessId, path: &Path) -> Inside {
    let (process, path) = (*process, path.to_owned());
    in_time(Duration::from_millis(READ_BACK_MS_MAX), move || read_now(&process, &path))
}

/// What gives no answer cannot be read, by the process neither.
fn in_time(wait: Duration, read: impl FnOnce() -> Inside + Send + 'static) -> Inside {
    within(wait, read).unwrap_or(Inside::Other)
}

fn read_now(process: &ProcessId, path: &Path) -> Inside {
    let Ok(below) = path.strip_prefix("/") else { return Inside::Outside };
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = openat(CWD, format!("/proc/{}/root", process.pid), folder, Mode::empty()) else {
        return Inside::Outside;
    };
    // Links are followed as the process would follow them: an absolute one begins at its root, not at ours.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match openat2(&root, below, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(Errno::NOSYS) => openat(&root, below, flags, Mode::empty()),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM) => return Inside::Outside,
        Err(_) => return Inside::Other,
    };
    let short = |meta: fs::Metadata| meta.is_file() && meta.len() <= READ_BACK_BYTES_MAX;
    if !file.metadata().is_ok_and(short) {
        return Inside::Other;
    }
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(READ_BACK_BYTES_MAX).unwrap_or(0) + 1);
    let read = file.take(READ_BACK_BYTES_MAX).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    if read.is_ok() { Inside::Holds(bytes) } else { Inside::Other }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_read_that_never_answers_is_no_file_and_holds_nothing_up() {
        let (end, ended) = channel::<()>();
        // As long as this test, like a mount whose server is gone.
        let dead = move || {
            let _ = ended.recv();
            Inside::Holds(SecretBytes::new(b"late".to_vec()))
        };
        assert!(matches!(in_time(Duration::from_millis(20), dead), Inside::Other));
        let alive = || Inside::Holds(SecretBytes::new(b"there".to_vec()));
        assert!(matches!(in_time(Duration::from_secs(100), alive), Inside::Holds(_)));
        drop(end);
    }

    #[test]
    fn a_file_is_read_as_this_process_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let own = keyroll_observe::process(std::process::id()).unwrap().id;
        assert!(matches!(read_inside(&own, &path), Inside::Outside));
        fs::write(&path, "KEY=there").unwrap();
        let Inside::Holds(bytes) = read_inside(&own, &path) else { panic!("it is not read") };
        assert_eq!(bytes.expose(), b"KEY=there");
        assert!(matches!(read_inside(&own, folder.path()), Inside::Other));
    }
}
