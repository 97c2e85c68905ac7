use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, OFlags, StatxAttributes, fallocate, fsync, ftruncate, renameat};
use rustix::io::{Errno, pwrite, retry_on_intr};
use rustix::process::geteuid;

use crate::fault::{no_effect, refused, unknown};
use crate::meta::Meta;
use crate::read::{Present, open_target, read_target};
use crate::resolved::{Held, hold, unchanged};
use crate::temp::{fill, open_for_sync, without_leftover};
use crate::{Digest, Inode, Resolved, TARGET_BYTES_MAX, TempName};

/// How the new content replaces the old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// A new file is renamed over the old one: readers see either content, never a mixture.
    Rename,
    /// The old file is overwritten, for the bind mount of a single file, which keeps the old inode. Readers can see a
    /// mixture during the write, and a crash leaves one: the file then has neither digest.
    InPlace,
}

/// One replacement of a file's content.
pub struct Replacement<'a> {
    /// The file, as it was resolved at plan.
    pub resolved: &'a Resolved,
    /// The content that the file must have now; any other content but the new one is refused.
    pub expect: &'a Digest,
    /// The new content.
    pub new: &'a SecretBytes,
    /// The temp file's name, which the caller's intent contains already.
    pub temp: &'a TempName,
    /// How.
    pub write: Write,
}

/// A replacement that is durable and was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The digest of the present content.
    pub digest: Digest,
    /// The file with this content.
    pub inode: Inode,
    /// Whether it held the new content already: an earlier run got this far.
    pub already: bool,
}

/// Replaces a file's content, durably, keeping owner, mode, access list and extended attributes.
///
/// Before the rename (or the first byte in place) a failure has no effect: the temp file is removed, the old file
/// is intact. A failed rename, a failed fsync of the directory and a read-back that differs are
/// [`Class::Unknown`]. After a crash: [`crate::remove_temp`], then compare [`crate::read`]'s digest with the old
/// and the new one; the same call again is harmless.
///
/// Another writer that replaces the file between the last look and the rename loses its change: no system call
/// compares content and renames at once.
pub fn replace(replacement: &Replacement<'_>) -> Result<Replaced, Failure> {
    replace_shown(replacement, &mut |_| {})
}

/// As [`replace`]. `shown` gets the file once it has the new content and, where it is renamed, before anybody else can
/// find it: every later open of the file gets the new content.
pub(crate) fn replace_shown(
    replacement: &Replacement<'_>,
    shown: &mut dyn FnMut(&OwnedFd),
) -> Result<Replaced, Failure> {
    let held = hold(replacement.resolved)?;
    let digest = Digest::of(replacement.new);
    if u64::try_from(replacement.new.len()).unwrap_or(u64::MAX) > TARGET_BYTES_MAX {
        let why = "the new content is larger than any file that is edited";
        let attempted = format!("replace {}", held.real.display());
        return Err(refused(Code::FileUnusable, attempted, why, "keep the value in a small file of its own"));
    }
    let present = read_target(&held.fd, held.name, held.real)?;
    let found = Digest::of(&present.bytes);
    let inode = if found == digest {
        settle_present(&held, &present)?;
        shown(&present.fd);
        present.meta.inode
    } else {
        refuse_drift(&found, replacement.expect, held.real)?;
        blocked(&held, &present.meta, replacement.write)?;
        match replacement.write {
            Write::Rename => by_rename(&held, &present, replacement, shown)?,
            Write::InPlace => in_place(&held, &present, replacement, shown)?,
        }
    };
    read_back(&held, inode, &digest)?;
    unchanged(replacement.resolved, Class::Unknown)?;
    Ok(Replaced { digest, inode, already: found == digest })
}

/// Makes the present content of a file durable. For a recovery that finds the new content: the run that wrote it may
/// have ended between its rename and its last fsync. A repeated [`replace`] does the same.
pub fn settle(resolved: &Resolved) -> Result<(), Failure> {
    let held = hold(resolved)?;
    settle_present(&held, &read_target(&held.fd, held.name, held.real)?)
}

fn settle_present(held: &Held<'_>, present: &Present) -> Result<(), Failure> {
    let attempted = || format!("make {} durable", held.real.display());
    retry_on_intr(|| fsync(&present.fd)).map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))?;
    let directory = open_for_sync(held)?;
    retry_on_intr(|| fsync(&directory)).map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))
}

fn by_rename(
    held: &Held<'_>,
    present: &Present,
    replacement: &Replacement<'_>,
    shown: &mut dyn FnMut(&OwnedFd),
) -> Result<Inode, Failure> {
    let directory = open_for_sync(held)?;
    let name = replacement.temp;
    let temp = fill(held, &present.fd, name, replacement.new.expose())?;
    shown(&temp);
    let renamed = same_target(held, present, replacement.expect)
        .and_then(|()| rename_over(held, name, &temp))
        .and_then(|inode| make_durable(held, &directory, inode));
    without_leftover(held, name, renamed)
}

/// The last look: writing and fsync took a while, in which another file may have replaced the target.
fn same_target(held: &Held<'_>, present: &Present, expect: &Digest) -> Result<(), Failure> {
    let now = read_target(&held.fd, held.name, held.real)?;
    if now.meta.inode != present.meta.inode {
        return Err(displaced(held.real));
    }
    refuse_drift(&Digest::of(&now.bytes), expect, held.real)
}

fn rename_over(held: &Held<'_>, name: &TempName, temp: &OwnedFd) -> Result<Inode, Failure> {
    let attempted = || format!("rename {} over {}", name.as_str(), held.real.display());
    let inode = Meta::of(temp).map_err(|errno| no_effect(Code::WriteFailed, attempted(), errno))?.inode;
    renameat(&held.fd, name.path(), &held.fd, held.name)
        .map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))?;
    Ok(inode)
}

fn make_durable(held: &Held<'_>, directory: &OwnedFd, inode: Inode) -> Result<Inode, Failure> {
    let attempted = || format!("make the replacement of {} durable", held.real.display());
    retry_on_intr(|| fsync(directory)).map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))?;
    Ok(inode)
}

fn in_place(
    held: &Held<'_>,
    present: &Present,
    replacement: &Replacement<'_>,
    shown: &mut dyn FnMut(&OwnedFd),
) -> Result<Inode, Failure> {
    let attempted = || format!("overwrite {}", held.real.display());
    let target = open_target(&held.fd, held.name, held.real, OFlags::RDWR)?;
    if target.meta.inode != present.meta.inode {
        return Err(displaced(held.real));
    }
    refuse_drift(&Digest::of(&target.bytes), replacement.expect, held.real)?;
    let new = replacement.new.expose();
    let length = u64::try_from(new.len()).unwrap_or(u64::MAX);
    // Space is allocated first: a disk that fills up half-way would leave a file with neither content.
    match retry_on_intr(|| fallocate(&target.fd, FallocateFlags::KEEP_SIZE, 0, length.max(1))) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => {}
        Err(errno) => {
            return Err(no_effect(
                Code::WriteFailed,
                format!("reserve room for {}", held.real.display()),
                errno,
            ));
        }
    }
    let written = (|| {
        let mut done = 0;
        while let Some(rest) = new.get(done..).filter(|rest| !rest.is_empty()) {
            let offset = u64::try_from(done).map_err(|_| Errno::FBIG)?;
            match retry_on_intr(|| pwrite(&target.fd, rest, offset))? {
                0 => return Err(Errno::IO),
                written => done += written,
            }
        }
        ftruncate(&target.fd, length)?;
        retry_on_intr(|| fsync(&target.fd))
    })();
    written.map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))?;
    shown(&target.fd);
    Ok(target.meta.inode)
}

/// Reads by name, as the consumer will.
fn read_back(held: &Held<'_>, inode: Inode, digest: &Digest) -> Result<(), Failure> {
    let attempted = || format!("read {} back", held.real.display());
    let now = read_target(&held.fd, held.name, held.real).map_err(|failure| Failure {
        class: Class::Unknown,
        code: Code::FileChanged,
        ..failure
    })?;
    if now.meta.inode != inode || Digest::of(&now.bytes) != *digest {
        return Err(Failure::new(Class::Unknown, Code::FileChanged, attempted())
            .because("it does not hold the content that was written")
            .help("another program writes this file: find out which"));
    }
    Ok(())
}

pub(crate) fn refuse_drift(found: &Digest, expect: &Digest, real: &Path) -> Result<(), Failure> {
    match found == expect {
        true => Ok(()),
        false => Err(drifted(real, "its content is not what was expected")),
    }
}

/// Another file replaced it, perhaps with the same content: a second attempt sees whose owner and mode it has.
fn displaced(real: &Path) -> Failure {
    Failure { class: Class::Retryable, ..drifted(real, "another file took its place") }
}

fn drifted(real: &Path, why: &str) -> Failure {
    let help = "another program or person changed it: look at the change";
    refused(Code::FileChanged, format!("replace {}", real.display()), why, help)
}

/// Refuses, before anything is written, what would fail at the rename or at the first byte.
pub(crate) fn blocked(held: &Held<'_>, target: &Meta, write: Write) -> Result<(), Failure> {
    let attempted = || format!("replace {}", held.real.display());
    let locked = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    if target.attributes.intersects(locked) {
        let help = "take the attribute off (`chattr -i -a FILE`)";
        return Err(refused(
            Code::FileNotReplaceable,
            attempted(),
            "the file is immutable or append-only",
            help,
        ));
    }
    if write == Write::InPlace {
        return Ok(());
    }
    if target.attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let help = "set write = \"in_place\" for this file in keyroll.toml";
        return Err(refused(Code::FileNotReplaceable, attempted(), "it is a mount point of its own", help));
    }
    one_name(target.nlink, held.real)?;
    let directory =
        Meta::of(&held.fd).map_err(|errno| no_effect(Code::FileNotReplaceable, attempted(), errno))?;
    if directory.attributes.intersects(locked) {
        let help = "take the attribute off (`chattr -i -a DIRECTORY`)";
        return Err(refused(
            Code::FileNotReplaceable,
            attempted(),
            "its directory is immutable or append-only",
            help,
        ));
    }
    let user = geteuid();
    let owns = user.is_root() || [target.uid, directory.uid].contains(&user.as_raw());
    if directory.mode & STICKY != 0 && !owns {
        let help = "run keyroll as the file's owner, or move the file out of the shared directory";
        return Err(refused(
            Code::FileNotReplaceable,
            attempted(),
            "its directory is sticky and the file is another user's",
            help,
        ));
    }
    Ok(())
}

/// Refuses a file with several names: a rename gives this name a new file, and leaves the old value under the others.
pub(crate) fn one_name(nlink: u32, real: &Path) -> Result<(), Failure> {
    if nlink <= 1 {
        return Ok(());
    }
    let attempted = format!("replace {}", real.display());
    let why = format!("the file has {nlink} names (hard links), and the others would keep the old value");
    let help = format!(
        "see them: `find / -xdev -samefile {}`; set write = \"in_place\" for this file in keyroll.toml, or make each name a file of its own and name it under `reads`",
        real.display()
    );
    Err(refused(Code::FileNotReplaceable, attempted, &why, &help))
}

/// The restricted-deletion bit of a directory's mode (inode(7)).
const STICKY: u32 = 0o1000;
