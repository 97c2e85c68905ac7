use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Result;

/// Opens a file by its path. Behind `/proc/PID/root` links are followed as that process follows them: an absolute one begins
/// at its root, since whoever made it must not choose a file of this machine.
///
/// # Errors
/// As of opening it; a kernel without `openat2` opens nothing there.
pub(crate) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    match of_process(path) {
        Some((root, rest)) => open_below(&root, rest, flags, ResolveFlags::IN_ROOT),
        None => openat(CWD, path, flags, Mode::empty()),
    }
}

/// Opens a file below a folder, with links as they are told.
pub(crate) fn open_below(
    folder: &Path,
    rest: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let folder_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, folder, folder_flags, Mode::empty())?;
    openat2(&folder, rest, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS)
}

/// The root of a process, and the path below it.
fn of_process(path: &Path) -> Option<(PathBuf, &Path)> {
    let mut parts = path.strip_prefix("/proc").ok()?.components();
    let process = parts.next()?.as_os_str().to_str()?;
    let number = process.bytes().all(|byte| byte.is_ascii_digit());
    let root = number && parts.next()?.as_os_str() == OsStr::new("root");
    root.then(|| (Path::new("/proc").join(process).join("root"), parts.as_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_root_of_a_process_is_taken_apart() {
        let apart = |path| of_process(Path::new(path)).map(|(root, rest)| (root, rest.to_owned()));
        let wanted = (PathBuf::from("/proc/7/root"), PathBuf::from("etc/app.env"));
        assert_eq!(apart("/proc/7/root/etc/app.env"), Some(wanted));
        for other in ["/etc/app.env", "/proc/7/cwd/app.env", "/proc/self/root/x", "/proc/7", "proc/7/root/x"]
        {
            assert_eq!(apart(other), None, "{other}");
        }
    }
}
