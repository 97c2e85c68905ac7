//! A repository that is open for reading.

use std::collections::HashSet;
use std::path::Path;

use crate::object::id::{HashFormat, ObjectId};
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::object::store::ObjectStore;
use crate::object::tree::{TreeEntry, entries};
use crate::repository::open_error::OpenError;
use crate::repository::references::References;
use crate::repository::{Repository, find};
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The largest tree or commit that is parsed, bytes.
pub(crate) const NAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most folders of one tree that are visited.
const TREES_MAX: usize = 4_000_000;

/// The longest path, bytes (`PATH_MAX` of Linux). Deeper trees are not visited.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// A repository that is open for reading: a main or linked working tree, or a bare repository.
///
/// Owner and configuration do not matter: unlike git, nothing that the repository names is run. Packs that `git gc`
/// deletes after `open` stay readable, because their files are open.
pub struct History {
    repository: Repository,
    store: ObjectStore,
    skipped: SkipList,
}

impl History {
    /// Opens the repository of a path: the folder itself, a folder above it, or a bare repository.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is none, or if its format is unknown. A damaged part is no error: it is listed in
    /// [`History::skipped`] and in the result of every scan.
    pub fn open(path: &Path) -> Result<History, OpenError> {
        let mut skipped = SkipList::default();
        let repository = find(path, &mut skipped)?;
        let store = ObjectStore::open(&repository, &mut skipped);
        Ok(History { repository, store, skipped })
    }

    /// The hash of its object ids.
    pub fn format(&self) -> HashFormat {
        self.repository.format
    }

    /// The folders of git's own files: that of all working trees, and that of this one.
    pub fn folders(&self) -> [&Path; 2] {
        [&self.repository.shared, &self.repository.own]
    }

    /// Packs and alternates that could not be opened, and objects that a shallow or partial clone lacks.
    pub fn skipped(&self) -> &SkipList {
        &self.skipped
    }

    pub(crate) fn store(&self) -> &ObjectStore {
        &self.store
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tree of the commit at HEAD, if there is one.
    pub(crate) fn head_tree(&self, skips: &mut SkipList) -> Option<ObjectId> {
        let references = References::read(&self.repository, skips);
        let commit = references.head?;
        let mut reader = Reader::new();
        match self.store.read(&commit, NAMES_BYTES_MAX, &mut reader, None) {
            Ok((ObjectKind::Commit, bytes)) => match crate::object::commit::parts(bytes.bytes()) {
                Some(commit) => return Some(commit.tree),
                None => {
                    skips.add(SkippedItem::Object(commit), SkipReason::Corrupt("the commit is malformed"))
                }
            },
            Ok(_) => {
                skips.add(SkippedItem::Object(commit), SkipReason::Corrupt("HEAD does not name a commit"))
            }
            Err(why) => skips.add(SkippedItem::Object(commit), why),
        }
        None
    }

    /// Visits every entry of a tree with its path. Enters folders, but no submodules. A folder that occurs at several
    /// paths is entered once: otherwise a few forged trees could have more entries than anyone can visit.
    pub(crate) fn visit(
        &self,
        tree: ObjectId,
        skips: &mut SkipList,
        visit: &mut dyn FnMut(&[u8], &TreeEntry<'_>, &mut SkipList),
    ) {
        let mut reader = Reader::new();
        let mut open = vec![(Vec::new(), tree)];
        let mut known = HashSet::new();
        while let Some((path, id)) = open.pop() {
            if !known.insert(id) {
                continue;
            }
            if known.len() > TREES_MAX {
                return skips.add(
                    SkippedItem::Path(path),
                    SkipReason::TooMany { max: u64::try_from(TREES_MAX).unwrap_or(u64::MAX) },
                );
            }
            let read = self.store.read(&id, NAMES_BYTES_MAX, &mut reader, None);
            let object = match read {
                Ok((ObjectKind::Tree, object)) => object,
                Ok(_) => {
                    skips.add(
                        SkippedItem::Object(id),
                        SkipReason::Corrupt("it is not a tree, although a tree is expected"),
                    );
                    continue;
                }
                Err(why) => {
                    skips.add(SkippedItem::Object(id), why);
                    continue;
                }
            };
            for entry in entries(object.bytes(), self.repository.format) {
                let Some(entry) = entry else {
                    skips.add(SkippedItem::Object(id), SkipReason::Corrupt("the tree is malformed"));
                    break;
                };
                let inner = joined(&path, entry.name);
                if inner.len() > PATH_BYTES_MAX {
                    skips.add(SkippedItem::Object(id), SkipReason::Corrupt("its path is too long"));
                    continue;
                }
                visit(&inner, &entry, skips);
                if entry.is_tree() {
                    open.push((inner, entry.id));
                }
            }
            reader.pool.give(object);
        }
    }

    /// Lists the submodules and the missing objects in HEAD's tree.
    pub(crate) fn at_head(&self, skips: &mut SkipList) {
        let Some(tree) = self.head_tree(skips) else { return };
        self.visit(tree, skips, &mut |path, entry, skips| {
            if entry.is_submodule() {
                skips.add(SkippedItem::Path(path.to_vec()), SkipReason::Submodule);
            } else if !entry.is_tree() && !self.store.has(&entry.id) {
                skips.add(SkippedItem::Path(path.to_vec()), SkipReason::Missing);
            }
        });
    }
}

/// Appends a name to a folder's path.
pub(crate) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
