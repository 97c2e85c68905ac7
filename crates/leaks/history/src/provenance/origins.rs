use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{History, NAMES_BYTES_MAX};
use crate::object::commit;
use crate::object::id::ObjectId;
use crate::object::reader::Reader;
use crate::provenance::commit_graph::CommitGraph;
use crate::provenance::tree_contents::TreeContents;
use crate::scan::skipped::SkipList;

/// The most origins of one object that are listed, plus one if all of them are of one sort; the rest is counted.
pub const ORIGINS_MAX: usize = 64;

/// A commit with its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The commit.
    pub commit: ObjectId,
    /// The committer date, seconds since 1970.
    pub time: i64,
    /// Its position among all commits: after its parents, otherwise by committer date.
    pub order: u32,
}

/// One path of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// From the repository's root, as bytes; empty for a commit or a tag, whose message is the text.
    pub path: Vec<u8>,
    /// The first commit that has it there while no parent does, by [`Self::order`].
    pub commit: ObjectId,
    /// The author of that commit; unverified.
    pub author_name: String,
    /// The author's address.
    pub author_email: String,
    /// The author date, seconds since 1970.
    pub time: i64,
    /// The position of that commit, as in [`Moment::order`].
    pub order: u32,
    /// The last commit that still has it there.
    pub last: Moment,
    /// Whether the commit at HEAD has it there, or is the object.
    pub in_head: bool,
}

/// The origins of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectOrigins {
    /// The oldest first. Empty: no reachable commit contains it.
    pub origins: Vec<Origin>,
    /// The number of paths beyond [`ORIGINS_MAX`].
    pub more: u64,
}

/// The origins of many objects.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// By object; every requested one.
    pub objects: BTreeMap<ObjectId, ObjectOrigins>,
    /// Unreadable commits and trees; origins in them are missing.
    pub skipped: SkipList,
}

/// One path of an object during the walk, with the numbers of its first and last commit.
struct PathTrack {
    path: Vec<u8>,
    first: u32,
    last: u32,
    in_head: bool,
}

#[derive(Default)]
struct ObjectTracks {
    by_path: Vec<PathTrack>,
    /// Whether one path is of the caller's sort, and whether one is not.
    has_of_sort: bool,
    has_other: bool,
    more: u64,
}

impl History {
    /// Finds the origins of objects in all commits that are reachable from a reference or a reflog.
    ///
    /// Reads every tree of the history once, so ask for all objects at once. A merge adds only objects that none of
    /// its parents has. Beyond [`ORIGINS_MAX`] paths of an object, the first path for which `of_sort` is true, and
    /// the first for which it is false, are still listed if no listed one is: callers read settings files
    /// differently.
    pub fn origins(&self, wanted: &HashSet<ObjectId>, of_sort: &dyn Fn(&[u8]) -> bool) -> Provenance {
        let mut skipped = SkipList::default();
        let graph = CommitGraph::read(self, &mut skipped);
        let order = graph.parents_first();
        let mut holdings = TreeContents::new(self, wanted);
        // The newest first: packs store older trees as deltas against newer ones.
        let mut held = vec![None; graph.commits.len()];
        for number in order.iter().rev() {
            let tree = graph.node(*number).and_then(|node| node.tree);
            if let (Some(tree), Some(held)) = (tree, held.get_mut(*number as usize)) {
                *held = holdings.of(tree, &mut skipped);
            }
        }
        let mut places = vec![0; graph.commits.len()];
        for (place, number) in (0..).zip(&order) {
            if let Some(own) = places.get_mut(*number as usize) {
                *own = place;
            }
        }
        let mut walk = CommitWalk {
            graph: &graph,
            holdings: &holdings,
            held: &held,
            places: &places,
            of_sort,
            tracks: HashMap::new(),
        };
        order.iter().for_each(|number| walk.step(*number));
        graph.tips.iter().for_each(|tip| walk.still(*tip, false));
        graph.head.iter().for_each(|head| walk.still(*head, true));
        let mut tracks = walk.tracks;
        let mut objects = BTreeMap::new();
        let mut reader = Reader::new();
        for id in wanted {
            let tracks = tracks.remove(id).unwrap_or_default();
            let mut found = ObjectOrigins { origins: Vec::new(), more: tracks.more };
            let own = graph.number(id).or_else(|| graph.tags.get(id).copied());
            let in_head = graph.number(id).is_some_and(|number| graph.head == Some(number));
            let own = own.map(|first| PathTrack { path: Vec::new(), first, last: first, in_head });
            for track in tracks.by_path.into_iter().chain(own) {
                found.origins.extend(self.origin(&graph, &places, track, &mut reader));
            }
            found.origins.sort_by(|a, b| (a.order, &a.path).cmp(&(b.order, &b.path)));
            objects.insert(*id, found);
        }
        Provenance { objects, skipped }
    }

    fn origin(
        &self,
        graph: &CommitGraph,
        places: &[u32],
        track: PathTrack,
        reader: &mut Reader,
    ) -> Option<Origin> {
        let place = |number: u32| places.get(number as usize).copied().unwrap_or(u32::MAX);
        let (first, last) = (graph.node(track.first)?, graph.node(track.last)?);
        let (_, bytes) = self.store().read(&first.id, NAMES_BYTES_MAX, reader, None).ok()?;
        let author = commit::parts(bytes.bytes())?.author;
        let origin = Origin {
            path: track.path,
            commit: first.id,
            author_name: String::from_utf8_lossy(author.name).into_owned(),
            author_email: String::from_utf8_lossy(author.email).into_owned(),
            time: author.time,
            order: place(track.first),
            last: Moment { commit: last.id, time: last.time, order: place(track.last) },
            in_head: track.in_head,
        };
        reader.pool.give(bytes);
        Some(origin)
    }
}

struct CommitWalk<'a> {
    graph: &'a CommitGraph,
    holdings: &'a TreeContents<'a>,
    /// The contents of each commit's tree.
    held: &'a [Option<u32>],
    /// The position of each commit.
    places: &'a [u32],
    of_sort: &'a dyn Fn(&[u8]) -> bool,
    tracks: HashMap<ObjectId, ObjectTracks>,
}

impl CommitWalk<'_> {
    fn held(&self, number: u32) -> Option<u32> {
        self.held.get(number as usize).copied().flatten()
    }

    /// Records the objects that a commit adds and those that it removes.
    fn step(&mut self, number: u32) {
        let (graph, holdings) = (self.graph, self.holdings);
        let Some(node) = graph.node(number) else { return };
        let held = self.held(number);
        let mut parents = node.parents.iter();
        let first = parents.next().and_then(|parent| self.held(*parent));
        let mut brought = Vec::new();
        holdings.added(first, held, &mut |path, id| brought.push((path, id)));
        for parent in parents {
            let other = self.held(*parent);
            brought.retain(|(path, id)| !holdings.has(other, path, *id));
        }
        for (path, id) in brought {
            self.brought(number, path, id);
        }
        for parent in &node.parents {
            let mut ended = Vec::new();
            holdings.added(held, self.held(*parent), &mut |path, id| ended.push((path, id)));
            for (path, id) in ended {
                self.had(*parent, &path, id, false);
            }
        }
    }

    /// Records the objects of a commit without children.
    fn still(&mut self, number: u32, head: bool) {
        let mut all = Vec::new();
        self.holdings.added(None, self.held(number), &mut |path, id| all.push((path, id)));
        for (path, id) in all {
            self.had(number, &path, id, head);
        }
    }

    fn brought(&mut self, number: u32, path: Vec<u8>, id: ObjectId) {
        let tracks = self.tracks.entry(id).or_default();
        // Commits come in order, so the first one added it.
        if tracks.by_path.iter().any(|track| track.path == path) {
            return;
        }
        let has = if (self.of_sort)(&path) { &mut tracks.has_of_sort } else { &mut tracks.has_other };
        if tracks.by_path.len() < ORIGINS_MAX || !*has {
            *has = true;
            tracks.by_path.push(PathTrack { path, first: number, last: number, in_head: false });
        } else {
            tracks.more += 1;
        }
    }

    fn had(&mut self, number: u32, path: &[u8], id: ObjectId, head: bool) {
        let places = self.places;
        let place = |number: u32| places.get(number as usize);
        let track = self
            .tracks
            .get_mut(&id)
            .and_then(|tracks| tracks.by_path.iter_mut().find(|track| track.path == path));
        if let Some(track) = track {
            track.in_head |= head;
            if place(number) >= place(track.last) {
                track.last = number;
            }
        }
    }
}
