//! What is staged: the entries of the index that the commit of HEAD does not have.
//!
//! The format is git's, `Documentation/gitformat-index.txt`, versions 2 to 4.

use std::collections::HashMap;
use std::path::Path;

use crate::history::{History, NAMES_BYTES_MAX, PATH_BYTES_MAX};
use crate::id::{Format, ObjectId};
use crate::kind::Kind;
use crate::reader::Reader;
use crate::refused::Refused;
use crate::regular;
use crate::skipped::{Skips, What, Why};
use crate::tree;

/// The longest index, bytes.
const INDEX_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What the system said of a file, before its name: times, device, mode, owner, size; bytes.
const STAT_BYTES: usize = 40;

/// Where the mode stands in it.
const MODE_AT: usize = 24;

/// An entry of the index that HEAD's commit does not have in the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// From the repository's root, as bytes.
    pub path: Vec<u8>,
    /// The blob that would be committed.
    pub id: ObjectId,
}

/// What is staged.
#[derive(Debug, Clone, Default)]
pub struct Staging {
    /// In the order of paths.
    pub entries: Vec<Staged>,
    /// What was not compared.
    pub skipped: Skips,
}

impl History {
    /// What is staged: in the repository's index, or in the one that git has made for a commit and tells its hooks of
    /// (`GIT_INDEX_FILE`), which stands beside it. Without an index, as in a bare repository, nothing is; without a commit, everything.
    ///
    /// An entry that a person only announced (`git add --intent-to-add`) has no bytes yet and is left out; all sides of
    /// a conflict are in.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the index cannot be read: a hook that goes by it must not pass what it has not seen.
    pub fn staged(&self, index: Option<&Path>) -> Result<Staging, Refused> {
        let own = &self.repository().own;
        let file = index.map_or_else(|| own.join("index"), Path::to_path_buf);
        let beside = |folder: &Path| folder.canonicalize().ok() == own.canonicalize().ok();
        if !file.parent().is_some_and(beside) {
            return Err(Refused::Unknown { path: file, what: "is no index of this repository" });
        }
        let bytes = match regular::read(&file, INDEX_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Staging::default()),
            Err(source) => return Err(Refused::Unreadable { path: file, source }),
        };
        let entries = entries(&bytes, self.format(), &file)?;
        let mut staging = Staging::default();
        let mut skipped = Skips::default();
        let head = self.head_tree(&mut skipped);
        let mut committed = Committed { history: self, reader: Reader::new(), folders: HashMap::new() };
        for Entry { path, id, mode } in entries {
            // A folder that is not checked out ends with a slash.
            let plain = path.strip_suffix(b"/").unwrap_or(&path);
            if head.and_then(|tree| committed.at(tree, plain, &mut skipped)) == Some(id) {
                continue;
            }
            match mode & 0o170_000 {
                0o160_000 => skipped.add(What::Path(path), Why::Submodule),
                0o040_000 => {
                    skipped.add(What::Path(path), Why::Corrupt("a folder that is staged as a whole"))
                }
                _ => staging.entries.push(Staged { path, id }),
            }
        }
        staging.skipped = skipped;
        Ok(staging)
    }
}

/// Folders of HEAD's commit, as far as they were asked for: each is read once.
struct Committed<'a> {
    history: &'a History,
    reader: Reader,
    folders: HashMap<ObjectId, HashMap<Vec<u8>, ObjectId>>,
}

impl Committed<'_> {
    /// What stands under a path.
    fn at(&mut self, root: ObjectId, path: &[u8], skips: &mut Skips) -> Option<ObjectId> {
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

    fn names(&mut self, folder: ObjectId, skips: &mut Skips) -> HashMap<Vec<u8>, ObjectId> {
        let read = self.history.store().read(&folder, NAMES_BYTES_MAX, &mut self.reader, None);
        let object = match read {
            Ok((Kind::Tree, object)) => object,
            // A file stands where the path has a folder.
            Ok(_) => return HashMap::new(),
            Err(why) => {
                skips.add(What::Object(folder), why);
                return HashMap::new();
            }
        };
        let names = tree::entries(object.bytes(), self.history.format()).flatten();
        let names = names.map(|entry| (entry.name.to_vec(), entry.id)).collect();
        self.reader.pool.give(object);
        names
    }
}

struct Entry {
    path: Vec<u8>,
    id: ObjectId,
    mode: u32,
}

fn entries(bytes: &[u8], format: Format, file: &Path) -> Result<Vec<Entry>, Refused> {
    let refused = |what| Refused::Unknown { path: file.to_path_buf(), what };
    let damaged = || refused("is damaged");
    // The checksum at the end.
    let (bytes, _) = bytes
        .len()
        .checked_sub(format.id_bytes())
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or_else(damaged)?;
    let version = match bytes.get(..8) {
        Some([b'D', b'I', b'R', b'C', 0, 0, 0, version @ 2..=4]) => *version,
        _ => return Err(refused("is an index of a form that is not known")),
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
    // What follows has a name of four letters and a length. Those with a small first letter must be understood.
    while let Some(name) = bytes.get(at..at + 4) {
        match name {
            b"link" => {
                return Err(refused(
                    "is split in two, which is not read (git update-index --no-split-index)",
                ));
            }
            b"sdir" | [b'A'..=b'Z', ..] => {}
            _ => return Err(refused("has a part that is not known")),
        }
        let length = word(bytes, at + 4).ok_or_else(damaged)? as usize;
        at = at.checked_add(8).and_then(|at| at.checked_add(length)).ok_or_else(damaged)?;
    }
    Ok(found)
}

struct Read {
    entry: Entry,
    /// Whether it was only announced.
    announced: bool,
    end: usize,
}

fn entry(bytes: &[u8], start: usize, version: u8, format: Format, before: &[u8]) -> Option<Read> {
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
        // Zeros up to a multiple of eight from the entry's beginning.
        at = start + (at - start).next_multiple_of(8);
    }
    (path.len() <= PATH_BYTES_MAX && at <= bytes.len()).then_some(Read {
        entry: Entry { path, id, mode },
        announced,
        end: at,
    })
}

/// A number as distances in packs are written.
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
