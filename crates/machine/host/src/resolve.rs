use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::Failure;

use crate::fault::{no_effect, refused};
use crate::meta::Meta;
use crate::read::read_target;
use crate::resolved::{open_directory, real_path, split};
use crate::{Digest, Resolved, TARGET_BYTES_MAX};

/// Follows a path's links to the end, once, and inspects the regular file there.
///
/// Refused: a relative path, anything but a regular file, a file over [`TARGET_BYTES_MAX`].
pub fn resolve(given: &Path) -> Result<Resolved, Failure> {
    let attempted = || format!("resolve {}", given.display());
    if !given.is_absolute() {
        let help = "write it with a leading / in keyroll.toml";
        return Err(refused(Code::FileUnusable, attempted(), "the path is not absolute", help));
    }
    let real = real_path(given)?;
    let (parent, name) = split(&real)?;
    let directory =
        open_directory(parent).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?;
    let inode =
        Meta::of(&directory).map_err(|errno| no_effect(Code::FileUnusable, attempted(), errno))?.inode;
    let present = read_target(&directory, name, &real)?;
    Ok(Resolved {
        given: given.to_owned(),
        directory: inode,
        digest: Digest::of(&present.bytes),
        uid: present.meta.uid,
        gid: present.meta.gid,
        mode: present.meta.mode,
        nlink: present.meta.nlink,
        size: u64::try_from(present.bytes.len()).unwrap_or(TARGET_BYTES_MAX),
        real,
    })
}
