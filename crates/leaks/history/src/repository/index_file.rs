//! Staged changes: the entries of the index that HEAD's commit does not have.
//!
//! The format is git's, `Documentation/gitformat-index.txt`, versions 2 to 4.

use std::collections::HashMap;
use std::path::Path;

use crate::history::{History, NAMES_BYTES_MAX, PATH_BYTES_MAX};
use crate::object::id::{HashFormat, ObjectId};
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::object::tree;
use crate::repository::open_error::OpenError;
use crate::repository::regular_file;
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest index, bytes.
const INDEX_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The `stat` data of a file before its id: times, device, mode, owner, size; bytes.
const STAT_BYTES: usize = 40;

/// The offset of the mode in it.
const MODE_AT: usize = 24;

/// An entry of the index that differs from HEAD's commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedEntry {
    /// From the repository's root, as bytes.
    pub path: Vec<u8>,
    /// The blob that would be committed.
    pub id: ObjectId,
}

/// The staged changes.
#[derive(Debug, Clone, Default)]
pub struct StagedChanges {
    /// By path.
    pub entries: Vec<StagedEntry>,
    /// Entries that could not be compared.
    pub skipped: SkipList,
}

impl History {
    /// The staged changes: of the repository's index, or of the one that git made for a commit and names to its hooks
    /// (`GIT_INDEX_FILE`), which is in the same folder. Without an index, as in a bare repository, there are none;
    /// without a commit, every entry is one.
    ///
    /// Entries of `git add --intent-to-add` have no content yet and are left out; all sides of a conflict are
    /// included.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the index cannot be read: a hook must not pass a commit that nobody has scanned.
    pub fn staged(&self, index: Option<&Path>) -> Result<StagedChanges, OpenError> {
        let own = &self.repository().own;
        let file = index.map_or_else(|| own.join("index"), Path::to_path_buf);
        let beside = |folder: &Path| folder.canonicalize().ok() == own.canonicalize().ok();
        if !file.parent().is_some_and(beside) {
            return Err(OpenError::Unknown { path: file, what: "is not an index of this repository" });
        }
        let bytes = match regular_file::read(&file, INDEX_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(StagedChanges::default()),
            Err(source) => return Err(OpenError::Unreadable { path: file, source }),
        };
        let entries = entries(&bytes, self.format(), &file)?;
        let mut staging = StagedChanges::default();
        let mut skipped = SkipList::default();
        let head = self.head_tree(&mut skipped);
        let mut committed = HeadTree { history: self, reader: Reader::new(), folders: HashMap::new() };
        for IndexEntry { path, id, mode } in entries {
            // A sparse folder ends with a slash.
            let plain = path.strip_suffix(b"/").unwrap_or(&path);
            if head.and_then(|tree| committed.at(tree, plain, &mut skipped)) == Some(id) {
                continue;
            }
            match mode & 0o170_000 {
                0o160_000 => skipped.add(SkippedItem::Path(path), SkipReason::Submodule),
                0o040_000 => skipped.add(
                    SkippedItem::Path(path),
                    SkipReason::Corrupt("the index is sparse: it stages a whole folder"),
                ),
                _ => staging.entries.push(StagedEntry { path, id }),
            }
        }
        staging.skipped = skipped;
        Ok(staging)
    }
}

/// The folders of HEAD's commit; each is read once, when it is needed.
struct HeadTree<'a> {
    history: &'a History,
    reader: Reader,
    folders: HashMap<ObjectId, HashMap<Vec<u8>, ObjectId>>,
}

impl HeadTree<'_> {
    /// The id at a path.
    fn at(&mut self, root: ObjectId, path: &[u8], skips: &mut SkipList) -> Option<ObjectId> {
        let mut at = root;
        for name in path.split(|byte| *byte == b'/') {
            if !self.folders.contains_key(&at) {
                let names = self.names(at, skips);
                self.folders.insert(at, names);
            }
            at = self.folders.get(&at)?.get(name).copied()?;
        }
        Some(at)
    }

    fn names(&mut self, folder: ObjectId, skips: &mut SkipList) -> HashMap<Vec<u8>, ObjectId> {
        let read = self.history.store().read(&folder, NAMES_BYTES_MAX, &mut self.reader, None);
        let object = match read {
            Ok((ObjectKind::Tree, object)) => object,
            // The path has a folder where HEAD has a file.
            Ok(_) => return HashMap::new(),
            Err(why) => {
                skips.add(SkippedItem::Object(folder), why);
                return HashMap::new();
            }
        };
        let names = tree::entries(object.bytes(), self.history.format()).flatten();
        let names = names.map(|entry| (entry.name.to_vec(), entry.id)).collect();
        self.reader.pool.give(object);
        names
    }
}

struct IndexEntry {
    path: Vec<u8>,
    id: ObjectId,
    mode: u32,
}

fn entries(bytes: &[u8], format: HashFormat, file: &Path) -> Result<Vec<IndexEntry>, OpenError> {
    let refused = |what| OpenError::Unknown { path: file.to_path_buf(), what };
    let damaged = || refused("is damaged");
    // The last bytes are the checksum.
    let (bytes, _) = bytes
        .len()
        .checked_sub(format.id_bytes())
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or_else(damaged)?;
    let version = match bytes.get(..8) {
        Some([b'D', b'I', b'R', b'C', 0, 0, 0, version @ 2..=4]) => *version,
        _ => return Err(refused("is an index in an unsupported format")),
    };
    let count = word(bytes, 8).ok_or_else(damaged)?;
    let mut at = 12;
    let mut before = Vec::new();
    let mut found = Vec::new();
    for _ in 0..count {
        let read = entry(bytes, at, version, format, &before).ok_or_else(damaged)?;
        at = read.end;
        before.clone_from(&read.entry.path);
        if !read.announced {
            found.push(read.entry);
        }
    }
    // Extensions: four letters and a length. Those that begin with a lower-case letter must be understood.
    while let Some(name) = bytes.get(at..at + 4) {
        match name {
            b"link" => {
                return Err(refused(
                    "is a split index, which keyroll does not read (git update-index --no-split-index)",
                ));
            }
            b"sdir" | [b'A'..=b'Z', ..] => {}
            _ => return Err(refused("has an unknown required extension")),
        }
        let length = word(bytes, at + 4).ok_or_else(damaged)? as usize;
        at = at.checked_add(8).and_then(|at| at.checked_add(length)).ok_or_else(damaged)?;
    }
    Ok(found)
}

struct ParsedEntry {
    entry: IndexEntry,
    /// Whether it comes from `git add --intent-to-add`.
    announced: bool,
    end: usize,
}

fn entry(bytes: &[u8], start: usize, version: u8, format: HashFormat, before: &[u8]) -> Option<ParsedEntry> {
    let mode = word(bytes, start + MODE_AT)?;
    let mut at = start + STAT_BYTES;
    let id = ObjectId::from_bytes(bytes.get(at..at + format.id_bytes())?)?;
    at += format.id_bytes();
    let flags = half(bytes, at)?;
    at += 2;
    let mut announced = false;
    if version >= 3 && flags & 0x4000 != 0 {
        announced = half(bytes, at)? & 0x2000 != 0;
        at += 2;
    }
    let mut path = Vec::new();
    if version == 4 {
        let dropped = distance(bytes, &mut at)?;
        path.extend_from_slice(before.get(..before.len().checked_sub(dropped)?)?);
    }
    let rest = bytes.get(at..)?;
    let zero = memchr::memchr(0, rest.get(..rest.len().min(PATH_BYTES_MAX + 1))?)?;
    path.extend_from_slice(rest.get(..zero)?);
    at += zero + 1;
    if version < 4 {
        // Padded with zeros to a multiple of eight.
        at = start + (at - start).next_multiple_of(8);
    }
    (path.len() <= PATH_BYTES_MAX && at <= bytes.len()).then_some(ParsedEntry {
        entry: IndexEntry { path, id, mode },
        announced,
        end: at,
    })
}

/// Parses a variable-length number, encoded like the offsets of deltas.
fn distance(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
        value = value.checked_add(1)?.checked_mul(128)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}
