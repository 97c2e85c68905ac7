//! The requested objects in each tree of a history. Every tree is read once, however many commits have it.

use std::collections::{HashMap, HashSet};

use crate::history::{History, NAMES_BYTES_MAX, PATH_BYTES_MAX, joined};
use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::object::tree::entries;
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The most trees that are read; each costs about 80 bytes of memory.
const TREES_MAX: usize = 10_000_000;

/// The deepest nesting of trees: no path has more names.
const DEPTH_MAX: usize = PATH_BYTES_MAX / 2;

/// One entry of a tree that is, or contains, a requested object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct WantedEntry {
    name: Vec<u8>,
    what: WantedContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum WantedContent {
    Blob(ObjectId),
    /// The number of a folder's contents.
    Folder(u32),
}

/// The requested objects in each tree. Trees with equal contents have the same number.
pub(crate) struct TreeContents<'a> {
    history: &'a History,
    wanted: &'a HashSet<ObjectId>,
    reader: Reader,
    /// `None` for a tree without requested objects.
    by_tree: HashMap<ObjectId, Option<u32>>,
    numbers: HashMap<Vec<WantedEntry>, u32>,
    by_number: Vec<Vec<WantedEntry>>,
}

/// A tree that is being read.
struct TreeFrame {
    id: ObjectId,
    name: Vec<u8>,
    folders: Vec<(Vec<u8>, ObjectId)>,
    held: Vec<WantedEntry>,
}

impl<'a> TreeContents<'a> {
    pub(crate) fn new(history: &'a History, wanted: &'a HashSet<ObjectId>) -> TreeContents<'a> {
        TreeContents {
            history,
            wanted,
            reader: Reader::new(),
            by_tree: HashMap::new(),
            numbers: HashMap::new(),
            by_number: Vec::new(),
        }
    }

    /// The number of a tree's contents; `None` if it has no requested objects.
    pub(crate) fn of(&mut self, tree: ObjectId, skips: &mut SkipList) -> Option<u32> {
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
                skips.add(SkippedItem::Object(id), SkipReason::Corrupt("its path is too long"));
            } else {
                let next = self.begin(id, name, skips);
                frames.push(next);
            }
        }
        None
    }

    /// Reads a tree. It counts as empty until it is finished, so that a forged tree that contains itself ends.
    fn begin(&mut self, id: ObjectId, name: Vec<u8>, skips: &mut SkipList) -> TreeFrame {
        let mut frame = TreeFrame { id, name, folders: Vec::new(), held: Vec::new() };
        if self.by_tree.len() >= TREES_MAX {
            skips.add(
                SkippedItem::History,
                SkipReason::TooMany { max: u64::try_from(TREES_MAX).unwrap_or(u64::MAX) },
            );
            return frame;
        }
        self.by_tree.insert(id, None);
        let object = match self.history.store().read(&id, NAMES_BYTES_MAX, &mut self.reader, None) {
            Ok((ObjectKind::Tree, object)) => object,
            Ok(_) => {
                skips.add(
                    SkippedItem::Object(id),
                    SkipReason::Corrupt("it is not a tree, although a tree is expected"),
                );
                return frame;
            }
            Err(why) => {
                skips.add(SkippedItem::Object(id), why);
                return frame;
            }
        };
        for entry in entries(object.bytes(), self.history.format()) {
            let Some(entry) = entry else {
                skips.add(SkippedItem::Object(id), SkipReason::Corrupt("the tree is malformed"));
                break;
            };
            if entry.is_tree() {
                frame.folders.push((entry.name.to_vec(), entry.id));
            } else if self.wanted.contains(&entry.id) {
                frame
                    .held
                    .push(WantedEntry { name: entry.name.to_vec(), what: WantedContent::Blob(entry.id) });
            }
        }
        self.reader.pool.give(object);
        frame
    }

    /// The number of the contents of a tree that was read completely.
    fn end(&mut self, mut done: TreeFrame) -> Option<u32> {
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

    /// Reports the `(path, object)` pairs of the tree `new` that `old` does not have.
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
                    WantedContent::Blob(id) => {
                        if !named.clone().any(|other| other.what == held.what) {
                            found(joined(&path, &held.name), id);
                        }
                    }
                    WantedContent::Folder(folder) => {
                        let old = named.clone().find_map(|other| match other.what {
                            WantedContent::Folder(number) => Some(number),
                            WantedContent::Blob(_) => None,
                        });
                        open.push((old, Some(folder), joined(&path, &held.name)));
                    }
                }
            }
        }
    }

    fn held(&self, number: Option<u32>) -> &[WantedEntry] {
        number.and_then(|number| self.by_number.get(number as usize)).map_or(&[], Vec::as_slice)
    }

    /// Whether a tree has this object at this path.
    pub(crate) fn has(&self, number: Option<u32>, path: &[u8], id: ObjectId) -> bool {
        let mut at = number;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let mut inner = None;
            for held in self.held(at).iter().filter(|held| held.name == name) {
                match held.what {
                    WantedContent::Blob(blob) if last && blob == id => return true,
                    WantedContent::Folder(folder) if !last => inner = Some(folder),
                    WantedContent::Blob(_) | WantedContent::Folder(_) => {}
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

fn folder(name: Vec<u8>, number: Option<u32>) -> Option<WantedEntry> {
    number.map(|number| WantedEntry { name, what: WantedContent::Folder(number) })
}
