//! What each tree of a history holds of the objects that are looked for: every tree is read once, however many commits
//! have it.

use std::collections::{HashMap, HashSet};

use crate::history::{History, NAMES_BYTES_MAX, PATH_BYTES_MAX, joined};
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::reader::Reader;
use crate::skipped::{Skips, What, Why};
use crate::tree::entries;

/// The most trees that are read; each costs about 80 bytes of memory.
const TREES_MAX: usize = 10_000_000;

/// How deep trees are nested, at most: a path has no more names.
const DEPTH_MAX: usize = PATH_BYTES_MAX / 2;

/// One name in a tree below which something is that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Held {
    name: Vec<u8>,
    what: Holds,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Holds {
    Blob(ObjectId),
    /// The number of what a folder holds.
    Folder(u32),
}

/// What each tree holds. Trees that hold the same have the same number.
pub(crate) struct Holdings<'a> {
    history: &'a History,
    wanted: &'a HashSet<ObjectId>,
    reader: Reader,
    /// Nothing for a tree that holds nothing.
    by_tree: HashMap<ObjectId, Option<u32>>,
    numbers: HashMap<Vec<Held>, u32>,
    by_number: Vec<Vec<Held>>,
}

/// A tree that is being read.
struct Frame {
    id: ObjectId,
    name: Vec<u8>,
    folders: Vec<(Vec<u8>, ObjectId)>,
    held: Vec<Held>,
}

impl<'a> Holdings<'a> {
    pub(crate) fn new(history: &'a History, wanted: &'a HashSet<ObjectId>) -> Holdings<'a> {
        Holdings {
            history,
            wanted,
            reader: Reader::new(),
            by_tree: HashMap::new(),
            numbers: HashMap::new(),
            by_number: Vec::new(),
        }
    }

    /// The number of what a tree holds, if it holds anything.
    pub(crate) fn of(&mut self, tree: ObjectId, skips: &mut Skips) -> Option<u32> {
        if let Some(known) = self.by_tree.get(&tree) {
            return *known;
        }
        let mut frames = vec![self.begin(tree, Vec::new(), skips)];
        while let Some(frame) = frames.last_mut() {
            let Some((name, id)) = frame.folders.pop() else {
                let done = frames.pop()?;
                let (name, number) = (done.name.clone(), self.end(done));
                match frames.last_mut() {
                    Some(above) => above.held.extend(folder(name, number)),
                    None => return number,
                }
                continue;
            };
            if let Some(known) = self.by_tree.get(&id) {
                frame.held.extend(folder(name, *known));
            } else if frames.len() >= DEPTH_MAX {
                skips.add(What::Object(id), Why::Corrupt("its path is longer than a path can be"));
            } else {
                let next = self.begin(id, name, skips);
                frames.push(next);
            }
        }
        None
    }

    /// Reads a tree. Until it is done it holds nothing, so that a forged tree that holds itself ends.
    fn begin(&mut self, id: ObjectId, name: Vec<u8>, skips: &mut Skips) -> Frame {
        let mut frame = Frame { id, name, folders: Vec::new(), held: Vec::new() };
        if self.by_tree.len() >= TREES_MAX {
            skips.add(What::History, Why::TooMany { max: u64::try_from(TREES_MAX).unwrap_or(u64::MAX) });
            return frame;
        }
        self.by_tree.insert(id, None);
        let object = match self.history.store().read(&id, NAMES_BYTES_MAX, &mut self.reader, None) {
            Ok((Kind::Tree, object)) => object,
            Ok(_) => {
                skips.add(What::Object(id), Why::Corrupt("it is no tree, and is named as one"));
                return frame;
            }
            Err(why) => {
                skips.add(What::Object(id), why);
                return frame;
            }
        };
        for entry in entries(object.bytes(), self.history.format()) {
            let Some(entry) = entry else {
                skips.add(What::Object(id), Why::Corrupt("it is not written as a tree is"));
                break;
            };
            if entry.is_tree() {
                frame.folders.push((entry.name.to_vec(), entry.id));
            } else if self.wanted.contains(&entry.id) {
                frame.held.push(Held { name: entry.name.to_vec(), what: Holds::Blob(entry.id) });
            }
        }
        self.reader.pool.give(object);
        frame
    }

    /// The number of what a tree holds that was read to its end.
    fn end(&mut self, mut done: Frame) -> Option<u32> {
        if done.held.is_empty() {
            return None;
        }
        done.held.sort();
        let number = match self.numbers.get(&done.held) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.by_number.len()).ok()?;
                self.by_number.push(done.held.clone());
                self.numbers.insert(done.held, number);
                number
            }
        };
        self.by_tree.insert(done.id, Some(number));
        Some(number)
    }

    /// What the tree `new` holds and `old` does not hold in the same place: `(path, object)`.
    pub(crate) fn added(&self, old: Option<u32>, new: Option<u32>, found: &mut dyn FnMut(Vec<u8>, ObjectId)) {
        let mut open = vec![(old, new, Vec::new())];
        while let Some((old, new, path)) = open.pop() {
            if old == new || path.len() > PATH_BYTES_MAX {
                continue;
            }
            let (before, after) = (self.held(old), self.held(new));
            for held in after {
                let named = before.iter().filter(|other| other.name == held.name);
                match held.what {
                    Holds::Blob(id) => {
                        if !named.clone().any(|other| other.what == held.what) {
                            found(joined(&path, &held.name), id);
                        }
                    }
                    Holds::Folder(folder) => {
                        let old = named.clone().find_map(|other| match other.what {
                            Holds::Folder(number) => Some(number),
                            Holds::Blob(_) => None,
                        });
                        open.push((old, Some(folder), joined(&path, &held.name)));
                    }
                }
            }
        }
    }

    fn held(&self, number: Option<u32>) -> &[Held] {
        number.and_then(|number| self.by_number.get(number as usize)).map_or(&[], Vec::as_slice)
    }

    /// Whether a tree holds this object under this path.
    pub(crate) fn has(&self, number: Option<u32>, path: &[u8], id: ObjectId) -> bool {
        let mut at = number;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let mut inner = None;
            for held in self.held(at).iter().filter(|held| held.name == name) {
                match held.what {
                    Holds::Blob(blob) if last && blob == id => return true,
                    Holds::Folder(folder) if !last => inner = Some(folder),
                    Holds::Blob(_) | Holds::Folder(_) => {}
                }
            }
            if inner.is_none() {
                return false;
            }
            at = inner;
        }
        false
    }
}

fn folder(name: Vec<u8>, number: Option<u32>) -> Option<Held> {
    number.map(|number| Held { name, what: Holds::Folder(number) })
}
