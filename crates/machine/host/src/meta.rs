use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, makedev, statx};
use rustix::io::Errno;

/// The identity of one file or directory of this machine, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inode {
    /// The device that holds it.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// When the content of a file was last changed, since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modified {
    /// Whole seconds; negative before the epoch.
    pub seconds: i64,
    /// The rest, less than a second.
    pub nanoseconds: u32,
}

/// The metadata of one file, in the same widths on every machine.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) inode: Inode,
    pub(crate) kind: FileType,
    /// Permission bits with set-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
    pub(crate) modified: Modified,
    pub(crate) attributes: StatxAttributes,
}

impl Meta {
    /// Of an open file.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::from(statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
    }

    /// Of a name in an open directory; a link is not followed.
    pub(crate) fn at(directory: impl AsFd, name: &Path) -> Result<Self, Errno> {
        Ok(Self::from(statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?))
    }
}

impl From<Statx> for Meta {
    fn from(statx: Statx) -> Self {
        let mode = u32::from(statx.stx_mode);
        Self {
            inode: Inode { device: makedev(statx.stx_dev_major, statx.stx_dev_minor), number: statx.stx_ino },
            kind: FileType::from_raw_mode(mode),
            mode: mode & 0o7777,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            nlink: statx.stx_nlink,
            size: statx.stx_size,
            modified: Modified { seconds: statx.stx_mtime.tv_sec, nanoseconds: statx.stx_mtime.tv_nsec },
            attributes: statx.stx_attributes,
        }
    }
}

/// What a file is, in words.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "of an unknown kind",
    }
}
