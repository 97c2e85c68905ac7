//! The files of a rotation on this machine as they are now, for display: the journal says that a file cannot be read, written or
//! believed, and not why.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use keyroll_config::Consumer;
use keyroll_host::resolve;
use keyroll_rotation::{ConsumerId, FileId};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::shell_words::quoted;

/// Where the kernel lists what is mounted for this process.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Permission bits with set-id and sticky.
const MODE: u32 = 0o7777;

/// What is wrong with a file now, and what mends it: a part of a sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) why: String,
    pub(super) mend: String,
}

impl Fault {
    fn new(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { why: why.into(), mend: mend.into() }
    }
}

/// The copies and pid files of a rotation that are on this machine.
#[derive(Debug, Default)]
pub(super) struct FilesHere {
    /// The path of each copy, and the file behind its links when it was planned.
    copies: BTreeMap<usize, (PathBuf, Option<PathBuf>)>,
    /// The pid file of each instance: its consumer and its slot.
    pid_files: Vec<(ConsumerId, u8, PathBuf)>,
}

impl FilesHere {
    /// One pid file alone.
    #[cfg(test)]
    pub(super) fn of_pid_file(id: ConsumerId, path: &Path) -> Self {
        Self { copies: BTreeMap::new(), pid_files: vec![(id, 0, path.to_owned())] }
    }

    /// Adds a copy by its number.
    pub(super) fn add_copy(&mut self, at: usize, path: &Path, planned: Option<&Path>) {
        self.copies.insert(at, (path.to_owned(), planned.map(Path::to_owned)));
    }

    /// Adds the pid files of a consumer of this machine.
    pub(super) fn add_consumer(&mut self, id: ConsumerId, consumer: &Consumer) {
        for (slot, instance) in (0..).zip(consumer.runs.instances()) {
            if let Some(path) = instance.workload.pid_file() {
                self.pid_files.push((id, slot, path.to_owned()));
            }
        }
    }

    /// The pid file of each instance, with its consumer and its slot.
    pub(super) fn pid_files(&self) -> &[(ConsumerId, u8, PathBuf)] {
        &self.pid_files
    }

    /// Why a copy cannot be read now; `None`: it can be, or is not on this machine.
    pub(super) fn unread(&self, file: FileId) -> Option<Fault> {
        let (path, planned) = self.copies.get(&file.index())?;
        unread(path, planned.as_deref())
    }

    /// Whether a copy on this machine can be read now.
    pub(super) fn can_read(&self, file: FileId) -> bool {
        self.copies.contains_key(&file.index()) && self.unread(file).is_none()
    }

    /// Why a copy cannot be written now, as far as that shows without a write.
    pub(super) fn unwritten(&self, file: FileId) -> Option<Fault> {
        let (path, planned) = self.copies.get(&file.index())?;
        unwritten(planned.as_ref().unwrap_or(path))
    }
}

fn unread(path: &Path, planned: Option<&Path>) -> Option<Fault> {
    let shown = path.display();
    let resolved = resolve(path);
    let real = resolved.as_ref().ok().map(|it| it.real.clone()).or_else(|| path.canonicalize().ok());
    let restore = format!("restore {shown} (the old value is enough)");
    let is_link = path.is_symlink();
    let elsewhere = real.as_deref().zip(planned).filter(|(real, planned)| real != planned);
    if let Some((real, planned)) = elsewhere {
        let (real, then) = (real.display(), planned.display());
        return Some(match is_link && planned.file_name() == path.file_name() {
            true => Fault::new(
                format!("it is a symlink to {real} now"),
                format!("restore {shown} in place of the symlink (the old value is enough)"),
            ),
            false => Fault::new(
                format!("it leads to {real} now, and led to {then} when this was planned"),
                format!("let {shown} lead to {then} again"),
            ),
        });
    }
    let failure = resolved.err()?;
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && is_link => {
            let to = fs::read_link(path).unwrap_or_default();
            let why = format!("it is a symlink to {}, which is missing", to.display());
            return Some(Fault::new(why, restore));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(Fault::new("it is missing", restore));
        }
        Err(error) => return Some(Fault::new(error.to_string(), format!("let keyroll read {shown}"))),
        Ok(meta) => meta,
    };
    if let Some(kind) = kind_of(meta.file_type()) {
        return Some(Fault::new(format!("it is {kind}"), format!("move it away, and {restore}")));
    }
    if accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS) == Err(Errno::ACCESS) {
        let (mode, user) = (meta.mode() & MODE, meta.uid());
        let why = format!("keyroll has no permission to read it (mode {mode:04o}, of user {user})");
        return Some(Fault::new(why, format!("let keyroll read {shown}")));
    }
    let why = std::error::Error::source(&failure).map_or_else(|| failure.to_string(), ToString::to_string);
    Some(Fault::new(why, format!("let keyroll read {shown}")))
}

/// What is no regular file.
fn kind_of(kind: FileType) -> Option<&'static str> {
    let named = [
        (kind.is_dir(), "a folder"),
        (kind.is_fifo(), "a pipe"),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
    ];
    named.into_iter().find_map(|(is_it, name)| is_it.then_some(name))
}

/// A file is replaced in its folder, or overwritten.
fn unwritten(path: &Path) -> Option<Fault> {
    let folder = path.parent()?;
    let answer = |path: &Path| accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS);
    if let Some(place) = [path, folder].into_iter().find(|place| answer(place) == Err(Errno::ROFS)) {
        let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
        let mount = mount_point(&mounts, place).unwrap_or_else(|| place.to_owned());
        let why = format!("the file system at {} is mounted read-only", mount.display());
        return Some(Fault::new(
            why,
            format!("mount -o remount,rw {}", quoted(&mount.display().to_string())),
        ));
    }
    let denied = answer(folder) == Err(Errno::ACCESS);
    let folder = folder.display();
    denied.then(|| {
        Fault::new(
            format!("keyroll has no permission to write in {folder}"),
            format!("let keyroll write in {folder}"),
        )
    })
}

/// The mount that a path is in: the longest, and of several at one place the last. Source: proc(5), `mountinfo`.
fn mount_point(mounts: &str, path: &Path) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| Some(PathBuf::from(unescaped(line.split(' ').nth(4)?))));
    points.filter(|point| path.starts_with(point)).max_by_key(|point| point.components().count())
}

/// The four characters that the kernel writes as a backslash with three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is whoever changes the file")]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType as Kind, Mode, mknodat};

    use super::*;

    /// Each was "it cannot be read" alone, and what mended one of them was said of all.
    #[test]
    fn a_copy_that_cannot_be_read_says_whether_it_is_missing_a_symlink_a_folder_or_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = folder.join("api.env");
        let shown = path.display();
        let now = || unread(&path, Some(&path)).unwrap();
        let restore = format!("restore {shown} (the old value is enough)");
        assert_eq!(now(), Fault::new("it is missing", restore.clone()));
        let other = folder.join("other.env");
        symlink(&other, &path).unwrap();
        assert_eq!(now().why, format!("it is a symlink to {}, which is missing", other.display()));
        fs::write(&other, "KEY=1\n").unwrap();
        assert_eq!(now().why, format!("it is a symlink to {} now", other.display()));
        assert!(now().mend.contains("in place of the symlink"), "{:?}", now());
        // A link that led there from the start.
        assert_eq!(unread(&path, Some(&other)), None);
        let third = folder.join("third.env");
        assert!(unread(&path, Some(&third)).unwrap().mend.ends_with("third.env again"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(now(), Fault::new("it is a folder", format!("move it away, and {restore}")));
        fs::remove_dir(&path).unwrap();
        mknodat(CWD, &path, Kind::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(now().why, "it is a pipe");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "KEY=1\n").unwrap();
        assert_eq!((unread(&path, Some(&path)), unwritten(&path)), (None, None));
    }

    #[test]
    fn the_mount_of_a_path_is_the_longest_and_the_last_one() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/a rw\n\
                      30 22 8:2 / /srv rw - ext4 /dev/b rw\n\
                      31 30 8:2 / /srv/my\\040app ro - ext4 /dev/b rw\n\
                      32 22 8:2 / /srv/my rw - ext4 /dev/b rw\n";
        let of = |path: &str| mount_point(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/srv/my app/key"), Path::new("/srv/my app"));
        assert_eq!(of("/srv/mine/key"), Path::new("/srv"));
        assert_eq!(of("/etc/key"), Path::new("/"));
        assert_eq!(mount_point("", Path::new("/etc")), None);
    }
}
