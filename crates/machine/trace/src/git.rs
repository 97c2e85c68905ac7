//! Whether a file is in a repository's index: if so, it is or will be in the repository's history.
//!
//! git itself is not run: a repository's configuration can make git run programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The largest index that is read, bytes: of some 500,000 files.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// The largest of git's small files that is read, bytes.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// The bytes of an entry before its object's name; after it two of flags. Source: gitformat-index(5).
const STAT_BYTES: usize = 40;

/// The paths in the indexes of repositories, each read once.
#[derive(Default)]
pub(crate) struct Tracked {
    known: BTreeMap<PathBuf, Option<BTreeSet<Vec<u8>>>>,
    /// The work tree that each folder is in.
    tops: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Tracked {
    /// Whether a file is in the index of its repository; `None` = unknown.
    pub(crate) fn has(&mut self, file: &Path) -> Option<bool> {
        let Some(top) = file.parent().and_then(|folder| self.top(folder)) else { return Some(false) };
        let inside = file.strip_prefix(&top).ok()?.as_os_str().as_bytes();
        let paths = self.known.entry(top.clone()).or_insert_with(|| paths_in(&top.join(".git")));
        paths.as_ref().map(|paths| paths.contains(inside))
    }

    fn top(&mut self, folder: &Path) -> Option<PathBuf> {
        if let Some(known) = self.tops.get(folder) {
            return known.clone();
        }
        let found = match folder.join(".git").exists() {
            true => Some(folder.to_owned()),
            false => folder.parent().and_then(|above| self.top(above)),
        };
        self.tops.insert(folder.to_owned(), found.clone());
        found
    }
}

/// `.git` is a folder, or a file that contains the folder's path.
fn paths_in(git: &Path) -> Option<BTreeSet<Vec<u8>>> {
    let folder = match git.is_dir() {
        true => git.to_owned(),
        false => {
            let text = read(git, SMALL_BYTES_MAX)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            git.parent()?.join(text.strip_prefix("gitdir:")?.trim())
        }
    };
    let common = read(&folder.join("commondir"), SMALL_BYTES_MAX)
        .map_or_else(|| folder.clone(), |text| folder.join(String::from_utf8_lossy(&text).trim()));
    let config = read(&common.join("config"), SMALL_BYTES_MAX).unwrap_or_default();
    let name_bytes = if String::from_utf8_lossy(&config).contains("sha256") { 32 } else { 20 };
    let index = folder.join("index");
    // A repository without an index has nothing in it yet.
    if !index.exists() { Some(BTreeSet::new()) } else { entries(&read(&index, INDEX_BYTES_MAX)?, name_bytes) }
}

fn read(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    if !path.metadata().is_ok_and(|data| data.is_file() && data.len() <= bytes_max) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The paths of an index of version 2, 3 or 4; `None` = another version, or a split index.
fn entries(index: &[u8], name_bytes: usize) -> Option<BTreeSet<Vec<u8>>> {
    let word = |at: usize| Some(u32::from_be_bytes(index.get(at..at + 4)?.try_into().ok()?));
    let version = word(4).filter(|_| index.starts_with(b"DIRC"))?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let (mut at, mut last, mut all) = (12, Vec::new(), BTreeSet::new());
    for _ in 0..word(8)? {
        let start = at;
        at += STAT_BYTES + name_bytes;
        let flags = u16::from_be_bytes(index.get(at..at + 2)?.try_into().ok()?);
        at += if flags & 0x4000 == 0 { 2 } else { 4 };
        if version == 4 {
            let (dropped, behind) = offset(index, at)?;
            last.truncate(last.len().checked_sub(dropped)?);
            at = behind;
        } else {
            last.clear();
        }
        let length = index.get(at..)?.iter().position(|byte| *byte == 0)?;
        last.extend_from_slice(index.get(at..at + length)?);
        all.insert(last.clone());
        at += length;
        // Up to version 3, one to eight zeros pad an entry to a multiple of eight.
        at = if version == 4 { at + 1 } else { start + (at - start) / 8 * 8 + 8 };
    }
    // `link`: the rest of the entries is in a shared index.
    (index.get(at..at + 4) != Some(b"link")).then_some(all)
}

/// A number of variable length, with where it ends. Source: gitformat-pack(5), "offset encoding".
fn offset(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut byte = *bytes.get(at)?;
    let mut value = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        at += 1;
        byte = *bytes.get(at)?;
        value = value.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
    }
    Some((value, at + 1))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let done = Command::new("git").arg("-C").arg(folder).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}");
    }

    #[test]
    fn what_git_has_in_its_index_is_tracked_in_every_version_of_it() {
        for (version, format) in
            [("2", "sha1"), ("3", "sha1"), ("4", "sha1"), ("2", "sha256"), ("4", "sha256")]
        {
            let dir = tempfile::tempdir().unwrap();
            let top = dir.path();
            git(top, &["init", "-q", "--object-format", format]);
            std::fs::create_dir_all(top.join("api/deep")).unwrap();
            for file in
                ["a", "api/.env", "api/deep/x.env", "api/deep/xylophone.env", "z with a space", "new.env"]
            {
                std::fs::write(top.join(file), file).unwrap();
            }
            git(top, &["add", "a", "api", "z with a space"]);
            if version == "3" {
                // A flag that only this version can keep.
                git(top, &["add", "-N", "new.env"]);
            }
            git(top, &["update-index", "--index-version", version]);
            let mut tracked = Tracked::default();
            for file in ["a", "api/.env", "api/deep/x.env", "api/deep/xylophone.env", "z with a space"] {
                assert_eq!(tracked.has(&top.join(file)), Some(true), "{version} {format} {file}");
            }
            assert_eq!(tracked.has(&top.join("new.env")), Some(version == "3"), "{version} {format}");
            assert_eq!(tracked.has(&top.join("api")), Some(false));
            std::fs::write(top.join(".git/index"), "DIRC and no more").unwrap();
            assert_eq!(Tracked::default().has(&top.join("a")), None);
        }
    }

    #[test]
    fn a_linked_work_tree_has_an_index_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (top, other) = (dir.path().join("main"), dir.path().join("other"));
        std::fs::create_dir(&top).unwrap();
        git(&top, &["init", "-q"]);
        std::fs::write(top.join(".env"), "x").unwrap();
        git(&top, &["add", ".env"]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        git(&top, &[&who[..], &["commit", "-q", "-m", "x"]].concat());
        git(&top, &["worktree", "add", "-q", other.to_str().unwrap()]);
        std::fs::write(other.join("more.env"), "x").unwrap();
        let mut tracked = Tracked::default();
        assert_eq!(tracked.has(&other.join(".env")), Some(true));
        assert_eq!(tracked.has(&other.join("more.env")), Some(false));
    }
}
