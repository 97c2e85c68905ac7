//! Parses trees.

use crate::object::id::{HashFormat, ObjectId};

/// One entry of a tree.
pub(crate) struct TreeEntry<'a> {
    mode: u32,
    pub(crate) name: &'a [u8],
    pub(crate) id: ObjectId,
}

impl TreeEntry<'_> {
    /// Whether it is a folder.
    pub(crate) fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub(crate) fn is_submodule(&self) -> bool {
        self.mode & 0o170_000 == 0o160_000
    }
}

/// The entries of a tree. Ends with `None` at the first malformed entry.
pub(crate) fn entries(bytes: &[u8], format: HashFormat) -> impl Iterator<Item = Option<TreeEntry<'_>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = entry(&mut rest, format);
        if entry.is_none() {
            rest = &[];
        }
        Some(entry)
    })
}

fn entry<'a>(rest: &mut &'a [u8], format: HashFormat) -> Option<TreeEntry<'a>> {
    let blank = rest.iter().take(8).position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(rest.get(..blank)?).ok()?;
    let mode = u32::from_str_radix(digits, 8).ok()?;
    let behind = rest.get(blank + 1..)?;
    let zero = memchr::memchr(0, behind)?;
    let name = behind.get(..zero).filter(|name| !name.is_empty())?;
    let id = behind.get(zero + 1..)?;
    let (id, next) = id.split_at_checked(format.id_bytes())?;
    *rest = next;
    Some(TreeEntry { mode, name, id: ObjectId::from_bytes(id)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_until_the_first_that_cannot_be() {
        let mut bytes = b"40000 src\0".to_vec();
        bytes.extend([1; 20]);
        bytes.extend(b"160000 other\0");
        bytes.extend([2; 20]);
        bytes.extend(b"100644 cut\0short");
        let read: Vec<_> = entries(&bytes, HashFormat::Sha1).collect();
        assert_eq!(read.len(), 3);
        let first = read[0].as_ref().unwrap();
        assert_eq!((first.name, first.is_tree(), first.is_submodule()), (b"src".as_slice(), true, false));
        assert!(read[1].as_ref().unwrap().is_submodule());
        assert!(read[2].is_none());
    }
}
