//! A repository that is open for reading.

use std::collections::HashSet;
use std::path::Path;

use crate::id::{Format, ObjectId};
use crate::kind::Kind;
use crate::reader::Reader;
use crate::references::References;
use crate::refused::Refused;
use crate::repository::{Repository, find};
use crate::skipped::{Skips, What, Why};
use crate::store::Store;
use crate::tree::{Entry, entries};

/// The largest tree or commit that is read for its names, bytes.
pub(crate) const NAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most folders of one tree that are walked.
const TREES_MAX: usize = 4_000_000;

/// The longest path, bytes; deeper trees are not followed. The system's own limit for a path.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// A repository that is open for reading: a working tree, one of several, or a bare one.
///
/// It belongs to whoever it belongs to: unlike git, which would run what its configuration names, this reads it
/// whoever its owner is, for nothing of it is run. The packs that were there when it was opened are those that are
/// read: what `git gc` removes from under it is still read, since the files are open.
pub struct History {
    repository: Repository,
    store: Store,
    skipped: Skips,
}

impl History {
    /// Opens the repository that a path is in: the folder itself, a folder above it, or a bare one.
    ///
    /// # Errors
    ///
    /// [`Refused`] if there is none, or if its form is not known. What is wrong with a part of it is no error: it is
    /// named in [`History::skipped`] and in what every walk returns.
    pub fn open(path: &Path) -> Result<History, Refused> {
        let mut skipped = Skips::default();
        let repository = find(path, &mut skipped)?;
        let store = Store::open(&repository, &mut skipped);
        Ok(History { repository, store, skipped })
    }

    /// With which hash it names its objects.
    pub fn format(&self) -> Format {
        self.repository.format
    }

    /// What could not be opened: packs, borrowed folders, and what the repository says that it does not have.
    pub fn skipped(&self) -> &Skips {
        &self.skipped
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tree of the commit that HEAD names, if there is one.
    pub(crate) fn head_tree(&self, skips: &mut Skips) -> Option<ObjectId> {
        let references = References::read(&self.repository, skips);
        let commit = references.head?;
        let mut reader = Reader::new();
        match self.store.read(&commit, NAMES_BYTES_MAX, &mut reader, None) {
            Ok((Kind::Commit, bytes)) => match crate::commit::parts(bytes.bytes()) {
                Some(commit) => return Some(commit.tree),
                None => skips.add(What::Object(commit), Why::Corrupt("it is not written as a commit is")),
            },
            Ok(_) => skips.add(What::Object(commit), Why::Corrupt("HEAD names no commit")),
            Err(why) => skips.add(What::Object(commit), why),
        }
        None
    }

    /// Visits everything that a tree names, with its path: folders are entered, other repositories are not. A folder
    /// that stands in several places is entered in one of them: a few forged trees could name more than anyone visits.
    pub(crate) fn visit(
        &self,
        tree: ObjectId,
        skips: &mut Skips,
        visit: &mut dyn FnMut(&[u8], &Entry<'_>, &mut Skips),
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
                    What::Path(path),
                    Why::TooMany { max: u64::try_from(TREES_MAX).unwrap_or(u64::MAX) },
                );
            }
            let read = self.store.read(&id, NAMES_BYTES_MAX, &mut reader, None);
            let object = match read {
                Ok((Kind::Tree, object)) => object,
                Ok(_) => {
                    skips.add(What::Object(id), Why::Corrupt("it is no tree, and is named as one"));
                    continue;
                }
                Err(why) => {
                    skips.add(What::Object(id), why);
                    continue;
                }
            };
            for entry in entries(object.bytes(), self.repository.format) {
                let Some(entry) = entry else {
                    skips.add(What::Object(id), Why::Corrupt("it is not written as a tree is"));
                    break;
                };
                let inner = joined(&path, entry.name);
                if inner.len() > PATH_BYTES_MAX {
                    skips.add(What::Object(id), Why::Corrupt("its path is longer than a path can be"));
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

    /// Names what HEAD's tree names and is not here: other repositories, and what is missing.
    pub(crate) fn at_head(&self, skips: &mut Skips) {
        let Some(tree) = self.head_tree(skips) else { return };
        self.visit(tree, skips, &mut |path, entry, skips| {
            if entry.is_submodule() {
                skips.add(What::Path(path.to_vec()), Why::Submodule);
            } else if !entry.is_tree() && !self.store.has(&entry.id) {
                skips.add(What::Path(path.to_vec()), Why::Missing);
            }
        });
    }
}

/// A name in a folder, as a path.
pub(crate) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
