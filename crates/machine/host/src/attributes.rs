//! Owner, mode, ACL and extended attributes of a file that replaces another one.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::Failure;
use rustix::fd::AsFd;
use rustix::fs::{
    Gid, Mode, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr,
};
use rustix::io::Errno;

use crate::fault::{no_effect, refused};
use crate::meta::Meta;

/// The kernel's own limit on one attribute and on a list of names (xattr(7)), in bytes.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// Attributes that depend on the content and that the kernel maintains: another content has others.
const OF_THE_CONTENT: [&CStr; 3] = [c"security.ima", c"security.evm", c"security.capability"];

/// Gives `temp` the attributes of `target`. Access lists are extended attributes (`system.posix_acl_access`). One that
/// the new file got from its directory and that the target does not have is removed.
pub(crate) fn copy(target: impl AsFd, temp: impl AsFd, real: &Path) -> Result<(), Failure> {
    let failed = |what: &str, errno| {
        no_effect(
            Code::FileNotReplaceable,
            format!("keep the {what} of {} on the file that replaces it", real.display()),
            errno,
        )
    };
    let wanted = Meta::of(&target).map_err(|errno| failed("attributes", errno))?;
    let present = Meta::of(&temp).map_err(|errno| failed("attributes", errno))?;
    if (wanted.uid, wanted.gid) != (present.uid, present.gid) {
        fchown(&temp, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)))
            .map_err(|errno| failed("owner", errno))?;
    }
    // After the owner: a change of owner clears the set-id bits.
    fchmod(&temp, Mode::from_raw_mode(wanted.mode)).map_err(|errno| failed("mode", errno))?;
    let wanted_extended = extended(&target).map_err(|errno| failed("extended attributes", errno))?;
    let present_extended = extended(&temp).map_err(|errno| failed("extended attributes", errno))?;
    for name in present_extended.keys().filter(|name| !wanted_extended.contains_key(*name)) {
        fremovexattr(&temp, name.as_c_str()).map_err(|errno| failed(&name.to_string_lossy(), errno))?;
    }
    for (name, value) in &wanted_extended {
        if present_extended.get(name) != Some(value) {
            fsetxattr(&temp, name.as_c_str(), value, XattrFlags::empty())
                .map_err(|errno| failed(&name.to_string_lossy(), errno))?;
        }
    }
    let reached = Meta::of(&temp).map_err(|errno| failed("attributes", errno))?;
    if (reached.uid, reached.gid, reached.mode) != (wanted.uid, wanted.gid, wanted.mode) {
        let attempted = format!("keep owner and mode of {} on the file that replaces it", real.display());
        let help = "set write = \"in_place\" for this file, or move it to a file system that keeps owners";
        return Err(refused(Code::FileNotReplaceable, attempted, "the file system gave it others", help));
    }
    Ok(())
}

fn extended(fd: impl AsFd) -> Result<BTreeMap<CString, Vec<u8>>, Errno> {
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = match flistxattr(&fd, names.as_mut_slice()) {
        Ok(length) => length,
        // A file system without extended attributes: nothing to keep.
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno),
    };
    let mut found = BTreeMap::new();
    for name in names.get(..length).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
        if OF_THE_CONTENT.contains(&name) {
            continue;
        }
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = fgetxattr(&fd, name, value.as_mut_slice())?;
        value.truncate(length);
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}
