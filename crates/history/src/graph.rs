//! All commits that a reference leads to, with their parents.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::commit;
use crate::history::{History, NAMES_BYTES_MAX};
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::reader::Reader;
use crate::references::References;
use crate::skipped::{Skips, What, Why};

/// How many tags are followed one after the other.
const TAGS_MAX: usize = 16;

/// The most commits that are read; each costs about 160 bytes of memory.
const COMMITS_MAX: usize = 5_000_000;

/// A commit.
pub(crate) struct Node {
    pub(crate) id: ObjectId,
    /// Nothing if the commit could not be read.
    pub(crate) tree: Option<ObjectId>,
    /// When it was committed, seconds since 1970.
    pub(crate) time: i64,
    /// Their numbers.
    pub(crate) parents: Vec<u32>,
}

/// All commits that a reference leads to.
pub(crate) struct Graph {
    /// By number.
    pub(crate) commits: Vec<Node>,
    numbers: HashMap<ObjectId, u32>,
    /// The commits that references name.
    pub(crate) tips: Vec<u32>,
    pub(crate) head: Option<u32>,
    /// Tags that are objects, and the commit that each leads to.
    pub(crate) tags: HashMap<ObjectId, u32>,
}

impl Graph {
    /// Reads all commits. One that is missing where it must be is named.
    pub(crate) fn read(history: &History, skips: &mut Skips) -> Graph {
        let references = References::read(history.repository(), skips);
        let mut reading = Reading {
            history,
            reader: Reader::new(),
            shallow: history.repository().shallow.iter().copied().collect(),
            graph: Graph {
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
            skips.add(What::History, Why::TooMany { max: u64::try_from(COMMITS_MAX).unwrap_or(u64::MAX) });
        }
        let mut graph = reading.graph;
        graph.head = references.head.and_then(|id| graph.number(&id));
        graph
    }

    pub(crate) fn number(&self, id: &ObjectId) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub(crate) fn node(&self, number: u32) -> Option<&Node> {
        self.commits.get(number as usize)
    }

    /// The numbers of all commits, parents before children, and otherwise the older before the newer, by what clocks said. Those in a circle, which hashes make impossible and which
    /// only a forged object can lead to, are left out.
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

struct Reading<'a> {
    history: &'a History,
    reader: Reader,
    shallow: HashSet<ObjectId>,
    graph: Graph,
    /// Whether there are more commits than are read.
    full: bool,
}

impl Reading<'_> {
    /// Reads what a reference names, and all commits before it.
    fn tip(&mut self, tip: ObjectId, must: bool, skips: &mut Skips) {
        let mut id = tip;
        let mut tags = Vec::new();
        // A tag may name another tag.
        while !self.graph.numbers.contains_key(&id) {
            match self.history.store().read(&id, NAMES_BYTES_MAX, &mut self.reader, None) {
                Ok((Kind::Commit, _)) => break,
                Ok((Kind::Tag, bytes)) if tags.len() < TAGS_MAX => {
                    tags.push(id);
                    match commit::tagged(bytes.bytes()) {
                        Some(inner) => id = inner,
                        None => {
                            return skips
                                .add(What::Object(id), Why::Corrupt("it is not written as a tag is"));
                        }
                    }
                }
                // A reference to a tree or a blob is in no commit.
                Ok(_) => return,
                Err(why) if must => return skips.add(What::Object(id), why),
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
                Ok((Kind::Commit, bytes)) => bytes,
                Ok(_) => {
                    skips.add(What::Object(id), Why::Corrupt("it is no commit, and is named as one"));
                    continue;
                }
                Err(why) => {
                    skips.add(What::Object(id), why);
                    continue;
                }
            };
            let Some(commit) = commit::parts(bytes.bytes()) else {
                skips.add(What::Object(id), Why::Corrupt("it is not written as a commit is"));
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
                *node = Node { id, tree: Some(commit.tree), time: commit.committed, parents };
            }
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
        self.graph.commits.push(Node { id, tree: None, time: 0, parents: Vec::new() });
        self.graph.numbers.insert(id, number);
        Some(number)
    }
}
