use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::history::{History, NAMES_BYTES_MAX};
use crate::object::commit;
use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::repository::references::References;
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest chain of tags that name tags.
const TAGS_MAX: usize = 16;

/// The most commits that are read; each costs about 160 bytes of memory.
const COMMITS_MAX: usize = 5_000_000;

/// A commit.
pub(crate) struct CommitNode {
    pub(crate) id: ObjectId,
    /// `None` if the commit could not be read.
    pub(crate) tree: Option<ObjectId>,
    /// When it was committed, seconds since 1970.
    pub(crate) time: i64,
    /// By number.
    pub(crate) parents: Vec<u32>,
}

/// All commits that are reachable from a reference.
pub(crate) struct CommitGraph {
    /// By number.
    pub(crate) commits: Vec<CommitNode>,
    numbers: HashMap<ObjectId, u32>,
    /// The commits that references name.
    pub(crate) tips: Vec<u32>,
    pub(crate) head: Option<u32>,
    /// Annotated tags, with the commit that each leads to.
    pub(crate) tags: HashMap<ObjectId, u32>,
}

impl CommitGraph {
    /// Reads all commits. Missing ones that a reference leads to are listed in `skips`.
    pub(crate) fn read(history: &History, skips: &mut SkipList) -> CommitGraph {
        let references = References::read(history.repository(), skips);
        let mut reading = GraphReader {
            history,
            reader: Reader::new(),
            shallow: history.repository().shallow.iter().copied().collect(),
            graph: CommitGraph {
                commits: Vec::new(),
                numbers: HashMap::new(),
                tips: Vec::new(),
                head: None,
                tags: HashMap::new(),
            },
            full: false,
        };
        for id in &references.tips {
            reading.tip(*id, true, skips);
        }
        for id in references.logged.difference(&references.tips) {
            reading.tip(*id, false, skips);
        }
        if reading.full {
            skips.add(
                SkippedItem::History,
                SkipReason::TooMany { max: u64::try_from(COMMITS_MAX).unwrap_or(u64::MAX) },
            );
        }
        let mut graph = reading.graph;
        graph.head = references.head.and_then(|id| graph.number(&id));
        graph
    }

    pub(crate) fn number(&self, id: &ObjectId) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub(crate) fn node(&self, number: u32) -> Option<&CommitNode> {
        self.commits.get(number as usize)
    }

    /// The numbers of all commits: parents before children, otherwise older ones first by committer date. Leaves out
    /// commits in a cycle, which only a forged object can cause.
    pub(crate) fn parents_first(&self) -> Vec<u32> {
        let mut above = vec![Vec::new(); self.commits.len()];
        let mut open = BinaryHeap::new();
        let mut left = Vec::with_capacity(self.commits.len());
        for (number, node) in (0_u32..).zip(&self.commits) {
            left.push(node.parents.len());
            if node.parents.is_empty() {
                open.push(Reverse((node.time, number)));
            }
            for parent in &node.parents {
                if let Some(children) = above.get_mut(*parent as usize) {
                    children.push(number);
                }
            }
        }
        let mut order = Vec::with_capacity(self.commits.len());
        let time = |number: u32| self.node(number).map_or(0, |node| node.time);
        while let Some(Reverse((_, number))) = open.pop() {
            order.push(number);
            for child in above.get(number as usize).into_iter().flatten() {
                if let Some(left) = left.get_mut(*child as usize) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        open.push(Reverse((time(*child), *child)));
                    }
                }
            }
        }
        order
    }
}

struct GraphReader<'a> {
    history: &'a History,
    reader: Reader,
    shallow: HashSet<ObjectId>,
    graph: CommitGraph,
    /// Whether the repository has more commits than are read.
    full: bool,
}

impl GraphReader<'_> {
    /// Reads the commit that a reference names, and all its ancestors. `must`: a missing object is an error.
    fn tip(&mut self, tip: ObjectId, must: bool, skips: &mut SkipList) {
        let mut id = tip;
        let mut tags = Vec::new();
        while !self.graph.numbers.contains_key(&id) {
            match self.history.store().read(&id, NAMES_BYTES_MAX, &mut self.reader, None) {
                Ok((ObjectKind::Commit, bytes)) => {
                    self.reader.pool.give(bytes);
                    break;
                }
                Ok((ObjectKind::Tag, bytes)) if tags.len() < TAGS_MAX => {
                    tags.push(id);
                    match commit::tagged(bytes.bytes()) {
                        Some(inner) => id = inner,
                        None => {
                            return skips
                                .add(SkippedItem::Object(id), SkipReason::Corrupt("the tag is malformed"));
                        }
                    }
                }
                // No commit contains a reference to a tree or a blob.
                Ok(_) => return,
                Err(why) if must => return skips.add(SkippedItem::Object(id), why),
                Err(_) => return,
            }
        }
        let Some(first) = self.numbered(id) else { return };
        self.graph.tips.push(first);
        self.graph.tags.extend(tags.into_iter().map(|tag| (tag, first)));
        let mut open = vec![first];
        while let Some(number) = open.pop() {
            let Some(node) = self.graph.commits.get(number as usize).filter(|node| node.tree.is_none())
            else {
                continue;
            };
            let id = node.id;
            let bytes = match self.history.store().read(&id, NAMES_BYTES_MAX, &mut self.reader, None) {
                Ok((ObjectKind::Commit, bytes)) => bytes,
                Ok(_) => {
                    skips.add(
                        SkippedItem::Object(id),
                        SkipReason::Corrupt("it is not a commit, although a commit is expected"),
                    );
                    continue;
                }
                Err(why) => {
                    skips.add(SkippedItem::Object(id), why);
                    continue;
                }
            };
            let Some(commit) = commit::parts(bytes.bytes()) else {
                skips.add(SkippedItem::Object(id), SkipReason::Corrupt("the commit is malformed"));
                continue;
            };
            let mut parents = Vec::with_capacity(commit.parents.len());
            if !self.shallow.contains(&id) {
                for parent in &commit.parents {
                    let known = self.graph.numbers.contains_key(parent);
                    let Some(parent) = self.numbered(*parent) else { continue };
                    parents.push(parent);
                    if !known {
                        open.push(parent);
                    }
                }
            }
            if let Some(node) = self.graph.commits.get_mut(number as usize) {
                *node = CommitNode { id, tree: Some(commit.tree), time: commit.committed, parents };
            }
            self.reader.pool.give(bytes);
        }
    }

    /// The number of a commit; a new one if it has none.
    fn numbered(&mut self, id: ObjectId) -> Option<u32> {
        if let Some(number) = self.graph.numbers.get(&id) {
            return Some(*number);
        }
        if self.graph.commits.len() >= COMMITS_MAX {
            self.full = true;
            return None;
        }
        let number = u32::try_from(self.graph.commits.len()).ok()?;
        self.graph.commits.push(CommitNode { id, tree: None, time: 0, parents: Vec::new() });
        self.graph.numbers.insert(id, number);
        Some(number)
    }
}
