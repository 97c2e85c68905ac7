use std::path::Path;

use rustix::fs::getxattr;

/// An access list as the kernel gives it (linux/posix_acl_xattr.h): a header of 4 bytes, then entries of tag,
/// permissions and id, all little-endian.
const ACCESS_LIST: &str = "system.posix_acl_access";
const ACCESS_LIST_BYTES_MAX: usize = 64 * 1024;
const ACCESS_HEADER_BYTES: usize = 4;
const ACCESS_ENTRY_BYTES: usize = 8;
const NAMED_USER: u16 = 0x02;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const MAY_WRITE: u16 = 0o2;

/// Another user, or a group, that may write a file or folder by its access list: `user 1000`, `group 50`. Its owner and
/// its own group are in its mode. Root and the `trusted` users do not count.
pub fn writer_by_access_list(path: &Path, trusted: &[u32]) -> Option<String> {
    let mut list = vec![0; ACCESS_LIST_BYTES_MAX];
    // Where a file system has no access lists, or the file has none, its mode says all.
    let length = getxattr(path, ACCESS_LIST, list.as_mut_slice()).ok()?;
    let entries: Vec<(u16, u16, u32)> = list
        .get(ACCESS_HEADER_BYTES..length)?
        .chunks_exact(ACCESS_ENTRY_BYTES)
        .filter_map(|entry| {
            let (tag, rest) = entry.split_first_chunk::<2>()?;
            let (may, rest) = rest.split_first_chunk::<2>()?;
            let (id, _) = rest.split_first_chunk::<4>()?;
            Some((u16::from_le_bytes(*tag), u16::from_le_bytes(*may), u32::from_le_bytes(*id)))
        })
        .collect();
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(MAY_WRITE, |(_, may, _)| *may);
    entries.into_iter().find_map(|(tag, may, id)| match tag {
        _ if may & mask & MAY_WRITE == 0 => None,
        NAMED_USER if id != 0 && !trusted.contains(&id) => Some(format!("user {id}")),
        NAMED_GROUP => Some(format!("group {id}")),
        _ => None,
    })
}
