//! Which entries of a pack are told from which: a tree below every entry that is told whole.

use crate::entry::{HEAD_BYTES_MAX, Told, read};
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::pack::{FIRST, Pack, Place};
use crate::skipped::Why;

/// How much of a pack is read at once to see the heads of its entries, bytes.
const HEADS_BYTES: usize = 256 * 1024;

/// Below what part of a pack's objects a tree is small enough to come in its turn. Larger ones come first, so that no
/// thread is left alone with one.
const HEAVY_PART: u32 = 32;

/// Instead of a base's number: it is told whole.
const WHOLE: u32 = u32::MAX;
/// It is told whole, and is a tree: nothing below it is looked at.
const TREE: u32 = u32::MAX - 1;
/// There is nothing where its base should be.
const LOST: u32 = u32::MAX - 2;
/// Its head cannot be read, which was said already.
const NAMED: u32 = u32::MAX - 3;

/// An entry that could not be read.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Its position in the pack's index.
    pub(crate) position: u32,
    pub(crate) why: Why,
}

/// What is known of an entry while the tree is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    /// On the way up that is being walked: to meet it again is a circle.
    Walked,
    /// Below a blob, commit or tag.
    Wanted,
    /// Below a tree.
    Unwanted,
    /// Below something that cannot be read, or in a circle.
    Lost,
}

/// The entries of a pack that are needed, by number: in the order in which they stand.
pub(crate) struct DeltaTree {
    /// Where each begins, and its position in the index.
    places: Vec<(u64, u32)>,
    /// Where the entries told from each begin in `children`; one more than there are entries.
    starts: Vec<u32>,
    children: Vec<u32>,
    /// The needed ones that are told whole, in the order in which they are walked.
    pub(crate) roots: Vec<u32>,
    /// Which are looked at for their own sake.
    told: Vec<bool>,
}

impl DeltaTree {
    /// Reads the heads of all entries. `told` says which objects are to be looked at: the others are needed only if one
    /// of those is told from them.
    pub(crate) fn of(
        pack: &Pack,
        is_told: impl Fn(&ObjectId) -> bool,
        failed: &mut Vec<Failed>,
    ) -> DeltaTree {
        let mut places = Vec::with_capacity(pack.index.count() as usize);
        for position in 0..pack.index.count() {
            match pack.index.offset(position) {
                Some(offset) if (FIRST..pack.end()).contains(&offset) => places.push((offset, position)),
                _ => failed.push(Failed { position, why: Why::Corrupt("it stands outside of its pack") }),
            }
        }
        places.sort_unstable();
        let bases = bases(pack, &places, failed);
        let states = states(&bases);
        let told: Vec<bool> = places
            .iter()
            .zip(&states)
            .map(|((_, position), state)| {
                *state != State::Unwanted && pack.index.id(*position).is_some_and(|id| is_told(&id))
            })
            .collect();
        for (number, (_, position)) in places.iter().enumerate() {
            let is = |of: &[State], state| of.get(number) == Some(&state);
            if is(&states, State::Lost)
                && told.get(number) == Some(&true)
                && bases.get(number) != Some(&NAMED)
            {
                failed.push(Failed { position: *position, why: Why::NoBase });
            }
        }
        let needed = needed(&bases, &states, &told);
        let (starts, children, roots) = linked(&bases, &needed);
        DeltaTree { places, starts, children, roots, told }
    }

    /// Where an entry stands, and its position in the index.
    pub(crate) fn place(&self, number: u32, pack: &Pack) -> Option<(Place, u32)> {
        let position = self.places.get(number as usize)?.1;
        place(pack, &self.places, number as usize).map(|place| (place, position))
    }

    /// The needed entries that are told from this one; the one with most below it is the last.
    pub(crate) fn children(&self, number: u32) -> &[u32] {
        let at = number as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(start), Some(end)) => self.children.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Whether it is looked at for its own sake.
    pub(crate) fn is_told(&self, number: u32) -> bool {
        self.told.get(number as usize).copied().unwrap_or(false)
    }
}

/// Where an entry stands.
fn place(pack: &Pack, places: &[(u64, u32)], number: usize) -> Option<Place> {
    let (offset, position) = *places.get(number)?;
    let behind = places.iter().skip(number + 1).find(|place| place.0 > offset);
    let end = behind.map_or(pack.end(), |place| place.0);
    Some(Place { offset, end, checksum: pack.index.checksum(position) })
}

/// The number of each entry's base, or one of the special numbers.
fn bases(pack: &Pack, places: &[(u64, u32)], failed: &mut Vec<Failed>) -> Vec<u32> {
    let mut heads = Heads { pack, bytes: vec![0; HEADS_BYTES], from: 0, length: 0 };
    let number = |offset: u64| {
        let at = places.partition_point(|place| place.0 < offset);
        places.get(at).filter(|place| place.0 == offset).and_then(|_| u32::try_from(at).ok())
    };
    let mut bases = Vec::with_capacity(places.len());
    let mut room = vec![0; HEADS_BYTES];
    for (at, (offset, position)) in places.iter().enumerate() {
        let entry =
            heads.at(*offset).and_then(|bytes| read(bytes, *offset, pack.format())).and_then(|entry| {
                // Nothing below a tree is read, so that it is one is checked here.
                match (entry.told, place(pack, places, at)) {
                    (Told::Whole(Kind::Tree), Some(place)) => pack.check(place, &mut room).map(|()| entry),
                    _ => Ok(entry),
                }
            });
        let base = match entry.map(|entry| entry.told) {
            Ok(Told::Whole(Kind::Tree)) => TREE,
            Ok(Told::Whole(Kind::Blob | Kind::Commit | Kind::Tag)) => WHOLE,
            Ok(Told::FromOffset(base)) => number(base).unwrap_or(LOST),
            Ok(Told::FromId(id)) => {
                pack.index.find(&id).and_then(|at| pack.index.offset(at)).and_then(number).unwrap_or(LOST)
            }
            Err(why) => {
                failed.push(Failed { position: *position, why });
                NAMED
            }
        };
        bases.push(base);
    }
    bases
}

/// What each entry stands below.
fn states(bases: &[u32]) -> Vec<State> {
    let mut states = vec![State::Unknown; bases.len()];
    let mut way = Vec::new();
    for first in 0..bases.len() {
        let mut at = first;
        let end = loop {
            match states.get_mut(at) {
                Some(state @ State::Unknown) => *state = State::Walked,
                Some(State::Walked) | None => break State::Lost,
                Some(known) => break *known,
            }
            way.push(at);
            match bases.get(at).copied().unwrap_or(LOST) {
                WHOLE => break State::Wanted,
                TREE => break State::Unwanted,
                LOST | NAMED => break State::Lost,
                base => at = base as usize,
            }
        };
        for at in way.drain(..) {
            if let Some(state) = states.get_mut(at) {
                *state = end;
            }
        }
    }
    states
}

/// Which entries are told, or have one below them that is.
fn needed(bases: &[u32], states: &[State], told: &[bool]) -> Vec<bool> {
    let mut needed = vec![false; bases.len()];
    for first in 0..bases.len() {
        if told.get(first) != Some(&true) || states.get(first) != Some(&State::Wanted) {
            continue;
        }
        let mut at = first;
        while let Some(one) = needed.get_mut(at).filter(|one| !**one) {
            *one = true;
            at = bases.get(at).map_or(usize::MAX, |base| *base as usize);
        }
    }
    needed
}

/// The needed entries below each, where these begin, and the needed ones that are told whole.
fn linked(bases: &[u32], needed: &[bool]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let all = || (0_u32..).zip(bases).zip(needed).filter(|(_, needed)| **needed).map(|(pair, _)| pair);
    let mut below = vec![0_u32; bases.len()];
    for (_, base) in all() {
        if let Some(count) = below.get_mut(*base as usize) {
            *count += 1;
        }
    }
    let mut starts = Vec::with_capacity(bases.len() + 1);
    let mut sum = 0_u32;
    starts.push(sum);
    starts.extend(below.iter().map(|count| {
        sum += count;
        sum
    }));
    let mut children = vec![0_u32; sum as usize];
    let mut filled = starts.clone();
    let mut roots = Vec::new();
    for (number, base) in all() {
        let Some(at) = filled.get_mut(*base as usize) else {
            roots.push(number);
            continue;
        };
        if let Some(child) = children.get_mut(*at as usize) {
            *child = number;
        }
        *at += 1;
    }
    drop(filled);
    let sizes = sizes(bases, needed, below);
    let size = |number: &u32| sizes.get(*number as usize).copied().unwrap_or(0);
    for (start, end) in starts.iter().zip(starts.iter().skip(1)) {
        let family = children.get_mut(*start as usize..*end as usize).unwrap_or_default();
        // With the heaviest last, an object is needed no longer when that one is walked: so never more than the
        // logarithm of the number of objects is kept at once, however long the chains are.
        if let Some(heaviest) = (0..family.len()).max_by_key(|at| family.get(*at).map_or(0, size)) {
            family.swap(heaviest, family.len() - 1);
        }
    }
    let heavy = u32::try_from(bases.len()).unwrap_or(u32::MAX) / HEAVY_PART;
    roots.sort_by_key(|root| size(root) <= heavy);
    (starts, children, roots)
}

/// How many needed entries each has below it, with itself. `below` counts those directly below.
fn sizes(bases: &[u32], needed: &[bool], mut below: Vec<u32>) -> Vec<u32> {
    let mut sizes = vec![1_u32; bases.len()];
    for first in 0..bases.len() {
        let mut at = first;
        // From each that has nothing (left) below it upwards, as far as it is the last one below its base.
        while needed.get(at) == Some(&true) && below.get(at) == Some(&0) {
            if let Some(done) = below.get_mut(at) {
                *done = u32::MAX;
            }
            let size = sizes.get(at).copied().unwrap_or(0);
            at = bases.get(at).map_or(usize::MAX, |base| *base as usize);
            if let (Some(sum), Some(left)) = (sizes.get_mut(at), below.get_mut(at)) {
                *sum += size;
                *left -= 1;
            }
        }
    }
    sizes
}

/// The heads of a pack's entries, read in their order.
struct Heads<'a> {
    pack: &'a Pack,
    bytes: Vec<u8>,
    from: u64,
    length: usize,
}

impl Heads<'_> {
    fn at(&mut self, offset: u64) -> Result<&[u8], Why> {
        let inside = |from: u64| usize::try_from(offset.checked_sub(from)?).ok();
        let mut start = inside(self.from).unwrap_or(usize::MAX);
        if start.saturating_add(HEAD_BYTES_MAX) > self.length {
            self.length = self.pack.read_at(&mut self.bytes, offset)?;
            self.from = offset;
            start = 0;
        }
        let end = start.saturating_add(HEAD_BYTES_MAX).min(self.length);
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }
}
