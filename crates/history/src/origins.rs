//! Where objects come from: the commits that brought them, and the last that still had them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::commit;
use crate::graph::Graph;
use crate::history::{History, NAMES_BYTES_MAX};
use crate::holdings::Holdings;
use crate::id::ObjectId;
use crate::reader::Reader;
use crate::skipped::Skips;

/// The most places of one object that are told one by one, and one more where all of these are of one sort; the rest is counted.
pub const ORIGINS_MAX: usize = 64;

/// A commit and when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The commit.
    pub commit: ObjectId,
    /// When it was committed, seconds since 1970, as the committer's clock said.
    pub time: i64,
    /// Its place among all commits: behind its parents, and of those that may come next the oldest by that clock.
    pub order: u32,
}

/// One path under which an object stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// From the repository's root, as bytes; empty for a commit or a tag, which has its text itself.
    pub path: Vec<u8>,
    /// The first commit that has it there and no parent that has, by [`Self::order`].
    pub commit: ObjectId,
    /// Who wrote that commit, as it says; nobody checks it.
    pub author_name: String,
    /// The same person's address.
    pub author_email: String,
    /// When it was written, seconds since 1970.
    pub time: i64,
    /// The place of that commit among all, as of [`Moment::order`]: of two the smaller came first.
    pub order: u32,
    /// The last commit that still has it there, by its place.
    pub last: Moment,
    /// Whether the commit that HEAD names has it there, or is it.
    pub in_head: bool,
}

/// Where an object comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The oldest first. Empty: it is in no commit that a reference leads to.
    pub origins: Vec<Origin>,
    /// How often it was brought to other paths beyond [`ORIGINS_MAX`].
    pub more: u64,
}

/// Where objects come from.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// By object; every one that was asked for.
    pub objects: BTreeMap<ObjectId, Found>,
    /// What could not be read on the way: what it would have told is missing.
    pub skipped: Skips,
}

/// One path of an object while commits are walked: the numbers of the first and last commit.
struct Track {
    path: Vec<u8>,
    first: u32,
    last: u32,
    in_head: bool,
}

#[derive(Default)]
struct Tracks {
    by_path: Vec<Track>,
    /// Whether one of them is of the caller's sort, and whether one is not.
    has_of_sort: bool,
    has_other: bool,
    more: u64,
}

impl History {
    /// Finds where objects come from, over all commits that a reference or a log of one leads to.
    ///
    /// Every tree of the history is read once, whatever is asked for; so ask for all objects at once. Merges bring only
    /// what none of their parents has. Beyond [`ORIGINS_MAX`] paths of an object the first one is told that is `of_sort`
    /// where none before it is, and the first one that is not, for callers to whom a file's name says how to read it.
    pub fn where_from(&self, wanted: &HashSet<ObjectId>, of_sort: &dyn Fn(&[u8]) -> bool) -> Provenance {
        let mut skipped = Skips::default();
        let graph = Graph::read(self, &mut skipped);
        let order = graph.parents_first();
        let mut holdings = Holdings::new(self, wanted);
        // The newest first: packs tell older trees as differences from newer ones.
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
        let mut walk = Walk {
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
            let mut found = Found { origins: Vec::new(), more: tracks.more };
            let own = graph.number(id).or_else(|| graph.tags.get(id).copied());
            let in_head = graph.number(id).is_some_and(|number| graph.head == Some(number));
            let own = own.map(|first| Track { path: Vec::new(), first, last: first, in_head });
            for track in tracks.by_path.into_iter().chain(own) {
                found.origins.extend(self.told(&graph, &places, track, &mut reader));
            }
            found.origins.sort_by(|a, b| (a.order, &a.path).cmp(&(b.order, &b.path)));
            objects.insert(*id, found);
        }
        Provenance { objects, skipped }
    }

    fn told(&self, graph: &Graph, places: &[u32], track: Track, reader: &mut Reader) -> Option<Origin> {
        let place = |number: u32| places.get(number as usize).copied().unwrap_or(u32::MAX);
        let (first, last) = (graph.node(track.first)?, graph.node(track.last)?);
        let (_, bytes) = self.store().read(&first.id, NAMES_BYTES_MAX, reader, None).ok()?;
        let author = commit::parts(bytes.bytes())?.author;
        Some(Origin {
            path: track.path,
            commit: first.id,
            author_name: String::from_utf8_lossy(author.name).into_owned(),
            author_email: String::from_utf8_lossy(author.email).into_owned(),
            time: author.time,
            order: place(track.first),
            last: Moment { commit: last.id, time: last.time, order: place(track.last) },
            in_head: track.in_head,
        })
    }
}

struct Walk<'a> {
    graph: &'a Graph,
    holdings: &'a Holdings<'a>,
    /// What each commit's tree holds.
    held: &'a [Option<u32>],
    /// The place of each.
    places: &'a [u32],
    /// Of which sort a path is.
    of_sort: &'a dyn Fn(&[u8]) -> bool,
    tracks: HashMap<ObjectId, Tracks>,
}

impl Walk<'_> {
    fn held(&self, number: u32) -> Option<u32> {
        self.held.get(number as usize).copied().flatten()
    }

    /// What a commit brings, and what it ends.
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

    /// What a commit has that nothing comes after.
    fn still(&mut self, number: u32, head: bool) {
        let mut all = Vec::new();
        self.holdings.added(None, self.held(number), &mut |path, id| all.push((path, id)));
        for (path, id) in all {
            self.had(number, &path, id, head);
        }
    }

    fn brought(&mut self, number: u32, path: Vec<u8>, id: ObjectId) {
        let tracks = self.tracks.entry(id).or_default();
        // They come in the order of their places: the first one brought it.
        if tracks.by_path.iter().any(|track| track.path == path) {
            return;
        }
        let has = if (self.of_sort)(&path) { &mut tracks.has_of_sort } else { &mut tracks.has_other };
        if tracks.by_path.len() < ORIGINS_MAX || !*has {
            *has = true;
            tracks.by_path.push(Track { path, first: number, last: number, in_head: false });
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
