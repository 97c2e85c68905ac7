//! The object folders of other repositories that a repository uses (`objects/info/alternates`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository::regular_file::{self, lines, path_of};
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest chain of alternates; git's own limit.
const DEPTH_MAX: usize = 5;

/// The most object folders of one repository.
const FOLDERS_MAX: usize = 64;

/// The longest list, bytes.
const LIST_BYTES_MAX: u64 = 1024 * 1024;

/// A folder of objects with all its alternates, each once.
pub(crate) fn borrowed(own: &Path, skips: &mut SkipList) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut open = vec![(own.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let real = match fs::canonicalize(&folder) {
            Ok(real) if real.is_dir() => real,
            Ok(_) => {
                skips.add(SkippedItem::File(folder), SkipReason::Corrupt("it is not a folder of objects"));
                continue;
            }
            Err(error) => {
                skips.add(SkippedItem::File(folder), error.into());
                continue;
            }
        };
        if found.contains(&real) {
            continue;
        }
        if depth > DEPTH_MAX || found.len() >= FOLDERS_MAX {
            let max = if depth > DEPTH_MAX { DEPTH_MAX } else { FOLDERS_MAX };
            skips.add(
                SkippedItem::File(real),
                SkipReason::TooMany { max: u64::try_from(max).unwrap_or(u64::MAX) },
            );
            continue;
        }
        let list = real.join("info").join("alternates");
        match regular_file::read(&list, LIST_BYTES_MAX) {
            Ok(text) => open.extend(named(&text).into_iter().map(|name| (real.join(name), depth + 1))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => skips.add(SkippedItem::File(list), error.into()),
        }
        found.push(real);
    }
    found
}

/// The folders in a list of alternates.
fn named(text: &[u8]) -> Vec<PathBuf> {
    let worth = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
    lines(text).filter(worth).map(|line| path_of(&unquoted(line))).collect()
}

/// Removes C-style quotes, which git writes around unusual paths.
fn unquoted(line: &[u8]) -> Vec<u8> {
    let Some(inner) = line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return line.to_vec();
    };
    let mut out = Vec::new();
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'a') => out.push(7),
            Some(b'b') => out.push(8),
            Some(b'v') => out.push(11),
            Some(b'f') => out.push(12),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                for next in bytes.by_ref().take(2) {
                    value = value.wrapping_mul(8).wrapping_add(next.wrapping_sub(b'0') & 7);
                }
                out.push(value);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternates_that_name_each_other_are_read_once() {
        let root = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(root.path()).unwrap();
        for (name, other) in [("a", "../../b\n# not this\n\n/nowhere/at/all"), ("b", "\"../../\\141\"\n")] {
            fs::create_dir_all(real.join(name).join("info")).unwrap();
            fs::write(real.join(name).join("info/alternates"), other.replace("../../", "../")).unwrap();
        }
        let mut skips = SkipList::default();
        let mut found = borrowed(&real.join("a"), &mut skips);
        found.sort();
        assert_eq!(found, [real.join("a"), real.join("b")]);
        assert_eq!(skips.named.len(), 1);
        assert_eq!(skips.named[0].why, SkipReason::Missing);
    }
}
