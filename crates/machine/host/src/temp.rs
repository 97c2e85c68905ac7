use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::Failure;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr, write};

use crate::fault::{no_effect, refused, unknown};
use crate::meta::{Meta, kind_name};
use crate::resolved::{Held, hold_real};
use crate::{Resolved, attributes};

/// The prefix of every temp file's name: recovery can never remove another program's file.
const PREFIX: &str = ".keyroll-";

/// The longest name, in bytes: file systems end at 255, encrypting ones at 143.
const NAME_BYTES_MAX: usize = 100;

/// The name of a temp file beside a target: `.keyroll-` and letters, digits, dots and dashes.
///
/// The caller chooses it and writes it into the intent before the file exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TempName(String);

impl TempName {
    /// A name made from the caller's own id, such as a rotation and its sequence number.
    /// `None` if the id is empty, too long, or has anything but letters, digits, dots and dashes.
    pub fn new(id: &str) -> Option<Self> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let fits = !id.is_empty() && id.len() <= NAME_BYTES_MAX && id.bytes().all(named);
        fits.then(|| Self(format!("{PREFIX}{id}")))
    }

    /// A name that an intent recorded.
    pub fn parse(name: &str) -> Option<Self> {
        name.strip_prefix(PREFIX).and_then(Self::new)
    }

    /// The file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Removes the temp file of an intent that has no outcome. `false` if there is none.
///
/// Anything of that name that is not a regular file is refused.
pub fn remove_temp(resolved: &Resolved, name: &TempName) -> Result<bool, Failure> {
    let held = hold_real(resolved)?;
    let attempted = || format!("remove the temp file {} beside {}", name.as_str(), held.real.display());
    match Meta::at(&held.fd, name.path()) {
        Ok(meta) if meta.kind == FileType::RegularFile => {}
        Ok(meta) => {
            let why = format!("it is {}", kind_name(meta.kind));
            return Err(refused(
                Code::WriteFailed,
                attempted(),
                &why,
                "keyroll did not make it: remove it by hand",
            ));
        }
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(no_effect(Code::WriteFailed, attempted(), errno)),
    }
    match unlinkat(&held.fd, name.path(), AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(no_effect(Code::WriteFailed, attempted(), errno)),
    }
    let directory = open_for_sync(&held)?;
    retry_on_intr(|| fsync(&directory)).map_err(|errno| unknown(Code::WriteFailed, attempted(), errno))?;
    Ok(true)
}

/// The directory opened in the way that fsync(2) needs. It is opened before the rename, so that opening cannot fail
/// after it.
pub(crate) fn open_for_sync(held: &Held<'_>) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&held.fd, c".", flags, Mode::empty()).map_err(|errno| {
        no_effect(Code::WriteFailed, format!("open the directory of {}", held.real.display()), errno)
    })
}

/// Makes the temp file, gives it the target's attributes, fills it and makes it durable.
///
/// The file exists afterwards, whatever the result, unless it could not be made: see [`without_leftover`].
pub(crate) fn fill(
    held: &Held<'_>,
    target: &OwnedFd,
    name: &TempName,
    content: &[u8],
) -> Result<OwnedFd, Failure> {
    let failed = |what: &str, errno| {
        no_effect(
            Code::WriteFailed,
            format!("{what} the temp file {} beside {}", name.as_str(), held.real.display()),
            errno,
        )
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let temp = openat(&held.fd, name.path(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| failed("create", errno))?;
    let filled = (|| {
        attributes::copy(target, &temp, held.real)?;
        write_all(&temp, content).map_err(|errno| failed("write", errno))?;
        retry_on_intr(|| fsync(&temp)).map_err(|errno| failed("make durable", errno))
    })();
    without_leftover(held, name, filled)?;
    Ok(temp)
}

/// Removes the temp file durably after a failure: the failure closes its intent, and nobody will look for the file
/// after a power loss. Also after a failed rename: if the rename did happen, there is no temp file.
pub(crate) fn without_leftover<T>(
    held: &Held<'_>,
    name: &TempName,
    outcome: Result<T, Failure>,
) -> Result<T, Failure> {
    outcome.map_err(|mut failure| {
        let removed = match unlinkat(&held.fd, name.path(), AtFlags::empty()) {
            Ok(()) => open_for_sync(held).is_ok_and(|directory| retry_on_intr(|| fsync(&directory)).is_ok()),
            Err(errno) => errno == Errno::NOENT,
        };
        if !removed {
            failure.attempted.push_str(" (and its temp file may still be there)");
        }
        failure
    })
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(fd, bytes))? {
            0 => return Err(Errno::IO),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
