//! The references of a repository: branches, tags, remotes, the stash, notes, HEAD, and ids in reflogs.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::object::id::ObjectId;
use crate::repository::Repository;
use crate::repository::regular_file::{self, lines, path_of};
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest file of one reference, bytes.
const REFERENCE_BYTES_MAX: u64 = 64 * 1024;

/// The longest `packed-refs`, and the longest reflog, bytes.
const PACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The most files of references and reflogs.
const FILES_MAX: usize = 2_000_000;

/// The deepest nesting of their folders.
const DEPTH_MAX: usize = 64;

/// The longest chain of symbolic references; git's own limit.
const LINKS_MAX: usize = 5;

/// Pseudo-references beside HEAD.
const ALONE: [&str; 9] = [
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "AUTO_MERGE",
    "BISECT_HEAD",
];

/// The objects from which a history is reachable.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// The id at HEAD, directly or through a branch.
    pub(crate) head: Option<ObjectId>,
    /// The ids of all references.
    pub(crate) tips: BTreeSet<ObjectId>,
    /// Ids only in reflogs: a missing object is no error.
    pub(crate) logged: BTreeSet<ObjectId>,
}

impl References {
    pub(crate) fn read(repository: &Repository, skips: &mut SkipList) -> References {
        let mut all = References::default();
        if repository.reftable {
            return all;
        }
        let packed = packed(&repository.shared, skips);
        all.head = head(repository, &packed);
        all.tips.extend(packed.values());
        let mut folders = BTreeSet::from([repository.shared.clone(), repository.own.clone()]);
        for other in fs::read_dir(repository.shared.join("worktrees")).into_iter().flatten().flatten() {
            folders.insert(other.path());
        }
        for folder in &folders {
            for name in ALONE {
                if let Ok(text) = regular_file::read(&folder.join(name), REFERENCE_BYTES_MAX) {
                    all.tips.extend(lines(&text).filter_map(first_id));
                }
            }
            for file in files(&folder.join("refs"), skips) {
                match regular_file::read(&file, REFERENCE_BYTES_MAX) {
                    Ok(text) => all.tips.extend(first_id(&text)),
                    Err(error) => skips.add(SkippedItem::File(file), error.into()),
                }
            }
            for file in files(&folder.join("logs"), skips) {
                match regular_file::read(&file, PACKED_BYTES_MAX) {
                    Ok(text) => all.logged.extend(lines(&text).flat_map(logged)),
                    Err(error) => skips.add(SkippedItem::File(file), error.into()),
                }
            }
        }
        all.tips.extend(all.head);
        all
    }
}

/// The id at the start of a line.
fn first_id(text: &[u8]) -> Option<ObjectId> {
    let word = text.split(|byte| byte.is_ascii_whitespace()).next()?;
    ObjectId::from_hex(word).filter(|id| !id.is_null())
}

/// The two ids of a reflog line, `old new who when`.
fn logged(line: &[u8]) -> impl Iterator<Item = ObjectId> {
    let words = line.split(|byte| *byte == b' ').take(2).filter_map(ObjectId::from_hex);
    words.filter(|id| !id.is_null())
}

/// The references in `packed-refs`. The line after an annotated tag, with a `^`, names a commit that is reachable
/// anyway.
fn packed(shared: &Path, skips: &mut SkipList) -> HashMap<Vec<u8>, ObjectId> {
    let file = shared.join("packed-refs");
    let text = match regular_file::read(&file, PACKED_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return HashMap::new(),
        Err(error) => {
            skips.add(SkippedItem::File(file), error.into());
            return HashMap::new();
        }
    };
    let worth = |line: &&[u8]| !line.starts_with(b"#") && !line.starts_with(b"^");
    let parts = |line: &[u8]| {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        Some((line.get(blank + 1..)?.to_vec(), ObjectId::from_hex(line.get(..blank)?)?))
    };
    lines(&text).filter(worth).filter_map(parts).collect()
}

/// The id at HEAD.
fn head(repository: &Repository, packed: &HashMap<Vec<u8>, ObjectId>) -> Option<ObjectId> {
    let mut name = b"HEAD".to_vec();
    for _ in 0..LINKS_MAX {
        let plain = name.split(|byte| *byte == b'/').all(|part| !part.is_empty() && part != b"..");
        if !plain {
            return None;
        }
        let inside = path_of(&name);
        let own = regular_file::read(&repository.own.join(&inside), REFERENCE_BYTES_MAX);
        let text = own.or_else(|_| regular_file::read(&repository.shared.join(&inside), REFERENCE_BYTES_MAX));
        let Ok(text) = text else { return packed.get(&name).copied() };
        match text.strip_prefix(b"ref:") {
            Some(other) => name = other.trim_ascii().to_vec(),
            None => return first_id(&text),
        }
    }
    None
}

/// All files below a folder. Links to folders are not followed.
fn files(folder: &Path, skips: &mut SkipList) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                skips.add(SkippedItem::File(folder), error.into());
                continue;
            }
        };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let max = if is_folder { DEPTH_MAX } else { FILES_MAX };
            if if is_folder { depth } else { found.len() } >= max {
                skips.add(
                    SkippedItem::File(entry.path()),
                    SkipReason::TooMany { max: u64::try_from(max).unwrap_or(u64::MAX) },
                );
            } else if is_folder {
                open.push((entry.path(), depth + 1));
            } else if entry.path().extension().is_none_or(|end| end != "lock") {
                found.push(entry.path());
            }
        }
    }
    found
}
