use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::{Errno, pread, retry_on_intr};

use crate::fault::{no_effect, refused};
use crate::meta::{Meta, Modified, kind_name};
use crate::resolved::hold;
use crate::{Digest, Inode, Resolved};

/// The largest file that is read or written, in bytes.
pub const TARGET_BYTES_MAX: u64 = 1 << 20;

/// The present content of a resolved file.
pub struct Content {
    /// All of it.
    pub bytes: SecretBytes,
    /// Its digest, which the replacement expects.
    pub digest: Digest,
    /// How many names the file has now.
    pub nlink: u32,
    /// The file that has this content.
    pub inode: Inode,
    /// Its owner's user id.
    pub uid: u32,
    /// Its permission bits with set-id and sticky.
    pub mode: u32,
    /// When its content was last changed.
    pub modified: Modified,
}

/// Reads a resolved file. Never waits on a FIFO or a device, never follows a link, never reads more than
/// [`TARGET_BYTES_MAX`].
pub fn read(resolved: &Resolved) -> Result<Content, Failure> {
    let held = hold(resolved)?;
    let present = read_target(&held.fd, held.name, held.real)?;
    let Meta { inode, uid, mode, nlink, modified, .. } = present.meta;
    Ok(Content {
        digest: Digest::of(&present.bytes),
        bytes: present.bytes,
        nlink,
        inode,
        uid,
        mode,
        modified,
    })
}

/// A regular file, open, with its content.
pub(crate) struct Present {
    pub(crate) fd: OwnedFd,
    pub(crate) meta: Meta,
    pub(crate) bytes: SecretBytes,
}

pub(crate) fn read_target(directory: impl AsFd, name: &Path, real: &Path) -> Result<Present, Failure> {
    open_target(directory, name, real, OFlags::RDONLY)
}

/// Opens and reads a name in a directory. Its kind is checked before it is opened, because to open a device may already
/// have an effect, and again afterwards, because the name may lead to another file by then.
pub(crate) fn open_target(
    directory: impl AsFd,
    name: &Path,
    real: &Path,
    access: OFlags,
) -> Result<Present, Failure> {
    let attempted = || format!("read {}", real.display());
    let before =
        Meta::at(&directory, name).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    regular(&before, real)?;
    let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = openat(&directory, name, flags, Mode::empty())
        .map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    let meta = Meta::of(&fd).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    regular(&meta, real)?;
    let bytes = content(&fd, meta.size).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    let Some(bytes) = bytes else {
        return Err(Failure::new(Class::Retryable, Code::FileUnusable, attempted())
            .because("it grew while it was read"));
    };
    Ok(Present { fd, meta, bytes })
}

fn regular(meta: &Meta, real: &Path) -> Result<(), Failure> {
    let attempted = || format!("use {} as a file", real.display());
    if meta.kind != FileType::RegularFile {
        let why = format!("it is {}", kind_name(meta.kind));
        return Err(refused(Code::FileUnusable, attempted(), &why, "name a regular file in keyroll.toml"));
    }
    if meta.size > TARGET_BYTES_MAX {
        let why = format!("it has {} bytes, more than the {TARGET_BYTES_MAX} that are edited", meta.size);
        return Err(refused(
            Code::FileUnusable,
            attempted(),
            &why,
            "keep the value in a small file of its own",
        ));
    }
    Ok(())
}

/// All bytes of an open file; `None` if there are more than its size promised.
fn content(fd: impl AsFd, size: u64) -> Result<Option<SecretBytes>, Errno> {
    let size = usize::try_from(size.min(TARGET_BYTES_MAX)).map_err(|_| Errno::FBIG)?;
    // One byte more than the size reveals growth, and the buffer never moves: no copy stays behind.
    let mut buffer = vec![0; size + 1];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let offset = u64::try_from(filled).map_err(|_| Errno::FBIG)?;
        match retry_on_intr(|| pread(&fd, &mut *rest, offset))? {
            0 => break,
            read => filled += read,
        }
    }
    let grew = filled > size;
    buffer.truncate(filled);
    let bytes = SecretBytes::new(buffer);
    Ok((!grew).then_some(bytes))
}
