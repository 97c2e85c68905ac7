use std::fs;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::Digest;
use crate::fault::{no_effect, refused};
use crate::meta::{Inode, Meta};

/// A path resolved once, when the plan is made: where its links lead and what the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The absolute path as it was configured.
    pub given: PathBuf,
    /// The absolute path without links, where the file is replaced.
    pub real: PathBuf,
    /// The directory of the real path.
    pub directory: Inode,
    /// The digest of the file's content.
    pub digest: Digest,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// How many names the file has. If it has several, a rename leaves the others with the old content; the plan shows
    /// that.
    pub nlink: u32,
    /// Bytes of content.
    pub size: u64,
}

/// The directory of a resolved path, held open, so that renaming it does not lead elsewhere.
pub(crate) struct Held<'a> {
    pub(crate) fd: OwnedFd,
    pub(crate) name: &'a Path,
    pub(crate) real: &'a Path,
}

/// Opens the directory again; refuses a path that does not lead where it led when the plan was made.
pub(crate) fn hold(resolved: &Resolved) -> Result<Held<'_>, Failure> {
    unchanged(resolved, Class::Permanent)?;
    hold_real(resolved)
}

/// As [`hold`], but by the real path: recovery removes a temp file where it was made.
pub(crate) fn hold_real(resolved: &Resolved) -> Result<Held<'_>, Failure> {
    let real = resolved.real.as_path();
    let attempted = || format!("open the directory of {}", real.display());
    let (parent, name) = split(real)?;
    let fd = open_directory(parent).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    let inode = Meta::of(&fd).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?.inode;
    if inode != resolved.directory {
        return Err(changed(resolved, Class::Permanent));
    }
    Ok(Held { fd, name, real })
}

/// Checks that the configured path still leads to the real path of the plan.
pub(crate) fn unchanged(resolved: &Resolved, class: Class) -> Result<(), Failure> {
    match real_path(&resolved.given) {
        Ok(real) if real == resolved.real => Ok(()),
        Ok(_) | Err(_) => Err(changed(resolved, class)),
    }
}

fn changed(resolved: &Resolved, class: Class) -> Failure {
    let attempted = format!("reach {} by {}", resolved.real.display(), resolved.given.display());
    Failure::new(class, Code::FileChanged, attempted)
        .because("the path leads elsewhere than at plan")
        .help("look at the links on the path; a change that is meant needs a new plan")
}

pub(crate) fn real_path(given: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(given).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        no_effect(Code::FileUnusable, format!("resolve {}", given.display()), errno)
    })
}

pub(crate) fn split(real: &Path) -> Result<(&Path, &Path), Failure> {
    match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, Path::new(name))),
        (Some(_) | None, Some(_) | None) => {
            let why = "the path does not name a file";
            Err(refused(
                Code::FileUnusable,
                format!("resolve {}", real.display()),
                why,
                "name a file in keyroll.toml",
            ))
        }
    }
}

/// A directory by its real path. A link anywhere on the way is an error: the path had none when it was resolved.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, c"/", flags, Mode::empty())?;
    let below = path.strip_prefix("/").map_err(|_| Errno::INVAL)?;
    if below.as_os_str().is_empty() {
        return Ok(root);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, below, flags, Mode::empty(), resolve) {
        // Kernels before 5.6, and sandboxes that do not know the call: opening one component at a time has the same
        // result.
        Err(Errno::NOSYS) => {
            let step = |from: OwnedFd, name| openat(&from, name, flags | OFlags::NOFOLLOW, Mode::empty());
            below.iter().try_fold(root, step)
        }
        opened => opened,
    }
}
