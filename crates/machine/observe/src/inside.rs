use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::{Errno, Result};

/// Opens a file by its path. Behind `/proc/PID/root` links are followed as that process follows them: an absolute link
/// begins at its root, because the author of a link must not choose a file of this machine.
///
/// # Errors
/// As for opening the file; a kernel without `openat2` opens nothing there that is behind a link.
pub(crate) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    match of_process(path) {
        Some((root, rest)) => open_below(&root, rest, flags, ResolveFlags::IN_ROOT),
        None => openat(CWD, path, flags, Mode::empty()),
    }
}

/// Opens a file below a folder; `resolve` says which links are followed.
pub(crate) fn open_below(
    folder: &Path,
    rest: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let folder_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open_from(openat(CWD, folder, folder_flags, Mode::empty())?, rest, flags, resolve)
}

/// The same below an open folder.
pub(crate) fn open_from(
    folder: OwnedFd,
    rest: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    match openat2(&folder, rest, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS) {
        Err(Errno::NOSYS) => open_by_steps(folder, rest, flags),
        opened => opened,
    }
}

/// The same on a kernel before 5.6: folder by folder, and never behind a link nor up.
fn open_by_steps(mut folder: OwnedFd, rest: &Path, flags: OFlags) -> Result<OwnedFd> {
    let mut parts = rest.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        let steps = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = openat(&folder, name, steps, Mode::empty())?;
        // A link is then opened itself. It must not look like a missing file, because something may be behind it.
        if FileType::from_raw_mode(fstat(&next)?.st_mode).is_symlink() {
            return Err(Errno::LOOP);
        }
        if parts.peek().is_none() {
            return openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty());
        }
        folder = next;
    }
    Err(Errno::ISDIR)
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
    use std::process::Command;

    use super::*;

    /// The variable that gives the ignored test its file.
    const FILE: &str = "KEYROLL_TEST_FILE";

    #[test]
    fn on_a_kernel_without_openat2_a_file_of_a_process_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("file");
        std::fs::write(&file, "there").unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS", "-o"]).arg(&log);
        command.arg(std::env::current_exe().unwrap()).env(FILE, &file);
        let own = "inside::tests::reads_without_openat2";
        let ended = command.args(["--exact", own, "--ignored", "--nocapture"]).output();
        let calls = std::fs::read_to_string(&log).unwrap_or_default();
        let Ok(ended) =
            ended.and_then(|ended| if calls.is_empty() { Err(Errno::PERM.into()) } else { Ok(ended) })
        else {
            return eprintln!("left out: strace is not installed, or may not trace");
        };
        assert!(calls.contains("(INJECTED)"), "{calls}");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{said}{calls}");
    }

    #[test]
    #[ignore = "run by on_a_kernel_without_openat2_a_file_of_a_process_is_read"]
    fn reads_without_openat2() {
        let file = PathBuf::from(std::env::var_os(FILE).unwrap());
        let root = Path::new("/proc").join(std::process::id().to_string()).join("root");
        let inside = root.join(file.strip_prefix("/").unwrap());
        assert_eq!(crate::read_small(&inside, 8).unwrap().expose(), b"there");
        let beside = Path::new(file.file_name().unwrap());
        assert_eq!(crate::read_below(file.parent().unwrap(), beside, 8).unwrap().expose(), b"there");
    }

    #[test]
    fn without_the_kernels_help_a_file_is_opened_and_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        for folder in [root.path().join("etc"), outside.path().to_owned()] {
            std::fs::write(folder.join("file"), "there").unwrap();
        }
        std::os::unix::fs::symlink(outside.path().join("file"), root.path().join("etc/link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("away")).unwrap();
        let opens = |rest: &str, flags: OFlags| {
            let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(CWD, root.path(), folder, Mode::empty()).unwrap();
            open_by_steps(folder, Path::new(rest), flags | OFlags::CLOEXEC)
        };
        for flags in [OFlags::PATH, OFlags::RDONLY] {
            let error = |rest: &str| opens(rest, flags).err();
            assert_eq!(error("etc/file"), None);
            // The error is not that of a missing file.
            assert_eq!([error("etc/link"), error("away/file")], [Some(Errno::LOOP); 2]);
            assert_eq!([error("../file"), error("/etc/file")], [Some(Errno::XDEV); 2]);
            assert_eq!(
                [error("etc/../etc/file"), error("etc/none")],
                [Some(Errno::XDEV), Some(Errno::NOENT)]
            );
        }
    }

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
