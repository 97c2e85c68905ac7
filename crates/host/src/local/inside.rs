//! A file as another process sees it, in its own mount namespace.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use keyroll_observe::ProcessId;
use keyroll_secret::SecretBytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// The largest file that is read through another process's root, bytes.
const READ_BACK_BYTES_MAX: u64 = 1 << 20;

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
