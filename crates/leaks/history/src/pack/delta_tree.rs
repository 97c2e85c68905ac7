//! The delta trees of a pack: which entries are deltas against which, below every entry that is stored whole.

use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::pack::entry::{EntryData, HEAD_BYTES_MAX, read};
use crate::pack::{EntryLocation, FIRST, Pack};
use crate::scan::skipped::SkipReason;

/// Bytes of a pack that are read at once for the headers of its entries.
const HEADS_BYTES: usize = 256 * 1024;

/// A tree with more than this part of a pack's objects (1/32) is scanned first, so that no thread is left alone with
/// it at the end.
const HEAVY_PART: u32 = 32;

/// In place of a base's number: the entry is stored whole.
const WHOLE: u32 = u32::MAX;
/// The entry is a tree object: nothing below it is scanned.
const TREE: u32 = u32::MAX - 1;
/// The base does not exist.
const LOST: u32 = u32::MAX - 2;
/// The header cannot be read; already listed as failed.
const NAMED: u32 = u32::MAX - 3;

/// An entry that could not be read.
#[derive(Debug)]
pub(crate) struct FailedEntry {
    pub(crate) position: u32,
    pub(crate) why: SkipReason,
}

/// The state of an entry while the delta tree is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryState {
    Unknown,
    /// On the chain that is being followed; reaching it again means a cycle.
    Walked,
    /// Below a blob, commit or tag.
    Wanted,
    /// Below a tree object.
    Unwanted,
    /// Below an unreadable entry, or in a cycle.
    Lost,
}

/// The needed entries of a pack, numbered by offset.
pub(crate) struct DeltaTree {
    /// Offset and position in the index, by number.
    places: Vec<(u64, u32)>,
    /// Where the children of each entry begin in `children`; one more than there are entries.
    starts: Vec<u32>,
    children: Vec<u32>,
    /// The needed entries that are stored whole, in the order of the scan.
    pub(crate) roots: Vec<u32>,
    /// Which entries are to be reported.
    reported: Vec<bool>,
}

impl DeltaTree {
    /// Reads the headers of all entries. `is_reported`: which objects are to be reported. Others are needed only as bases
    /// of those.
    pub(crate) fn of(
        pack: &Pack,
        is_reported: impl Fn(&ObjectId) -> bool,
        failed: &mut Vec<FailedEntry>,
    ) -> DeltaTree {
        let mut places = Vec::with_capacity(pack.index.count() as usize);
        for position in 0..pack.index.count() {
            match pack.index.offset(position) {
                Some(offset) if (FIRST..pack.end()).contains(&offset) => places.push((offset, position)),
                _ => failed.push(FailedEntry {
                    position,
                    why: SkipReason::Corrupt("its offset is outside of the pack"),
                }),
            }
        }
        places.sort_unstable();
        let bases = bases(pack, &places, failed);
        let states = states(&bases);
        let reported: Vec<bool> = places
            .iter()
            .zip(&states)
            .map(|((_, position), state)| {
                *state != EntryState::Unwanted && pack.index.id(*position).is_some_and(|id| is_reported(&id))
            })
            .collect();
        for (number, (_, position)) in places.iter().enumerate() {
            let is = |of: &[EntryState], state| of.get(number) == Some(&state);
            if is(&states, EntryState::Lost)
                && reported.get(number) == Some(&true)
                && bases.get(number) != Some(&NAMED)
            {
                failed.push(FailedEntry { position: *position, why: SkipReason::NoBase });
            }
        }
        let needed = needed(&bases, &states, &reported);
        let (starts, children, roots) = linked(&bases, &needed);
        DeltaTree { places, starts, children, roots, reported }
    }

    /// The location of an entry, and its position in the index.
    pub(crate) fn place(&self, number: u32, pack: &Pack) -> Option<(EntryLocation, u32)> {
        let position = self.places.get(number as usize)?.1;
        place(pack, &self.places, number as usize).map(|place| (place, position))
    }

    /// The needed entries that are deltas against this one; the one with the largest subtree last.
    pub(crate) fn children(&self, number: u32) -> &[u32] {
        let at = number as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(start), Some(end)) => self.children.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Whether it is to be reported.
    pub(crate) fn is_reported(&self, number: u32) -> bool {
        self.reported.get(number as usize).copied().unwrap_or(false)
    }
}

fn place(pack: &Pack, places: &[(u64, u32)], number: usize) -> Option<EntryLocation> {
    let (offset, position) = *places.get(number)?;
    let behind = places.iter().skip(number + 1).find(|place| place.0 > offset);
    let end = behind.map_or(pack.end(), |place| place.0);
    Some(EntryLocation { offset, end, checksum: pack.index.checksum(position) })
}

/// The number of each entry's base, or one of the special numbers.
fn bases(pack: &Pack, places: &[(u64, u32)], failed: &mut Vec<FailedEntry>) -> Vec<u32> {
    let mut heads = HeaderReader { pack, bytes: vec![0; HEADS_BYTES], from: 0, length: 0 };
    let number = |offset: u64| {
        let at = places.partition_point(|place| place.0 < offset);
        places.get(at).filter(|place| place.0 == offset).and_then(|_| u32::try_from(at).ok())
    };
    let mut bases = Vec::with_capacity(places.len());
    let mut room = vec![0; HEADS_BYTES];
    for (at, (offset, position)) in places.iter().enumerate() {
        let entry =
            heads.at(*offset).and_then(|bytes| read(bytes, *offset, pack.format())).and_then(|entry| {
                // Nothing below a tree object is read, so its checksum is verified here.
                match (entry.stored, place(pack, places, at)) {
                    (EntryData::Whole(ObjectKind::Tree), Some(place)) => {
                        pack.check(place, &mut room).map(|()| entry)
                    }
                    _ => Ok(entry),
                }
            });
        let base = match entry.map(|entry| entry.stored) {
            Ok(EntryData::Whole(ObjectKind::Tree)) => TREE,
            Ok(EntryData::Whole(ObjectKind::Blob | ObjectKind::Commit | ObjectKind::Tag)) => WHOLE,
            Ok(EntryData::FromOffset(base)) => number(base).unwrap_or(LOST),
            Ok(EntryData::FromId(id)) => {
                pack.index.find(&id).and_then(|at| pack.index.offset(at)).and_then(number).unwrap_or(LOST)
            }
            Err(why) => {
                failed.push(FailedEntry { position: *position, why });
                NAMED
            }
        };
        bases.push(base);
    }
    bases
}

/// The state of each entry.
fn states(bases: &[u32]) -> Vec<EntryState> {
    let mut states = vec![EntryState::Unknown; bases.len()];
    let mut way = Vec::new();
    for first in 0..bases.len() {
        let mut at = first;
        let end = loop {
            match states.get_mut(at) {
                Some(state @ EntryState::Unknown) => *state = EntryState::Walked,
                Some(EntryState::Walked) | None => break EntryState::Lost,
                Some(known) => break *known,
            }
            way.push(at);
            match bases.get(at).copied().unwrap_or(LOST) {
                WHOLE => break EntryState::Wanted,
                TREE => break EntryState::Unwanted,
                LOST | NAMED => break EntryState::Lost,
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

/// Which entries are to be reported, or have such an entry below them.
fn needed(bases: &[u32], states: &[EntryState], reported: &[bool]) -> Vec<bool> {
    let mut needed = vec![false; bases.len()];
    for first in 0..bases.len() {
        if reported.get(first) != Some(&true) || states.get(first) != Some(&EntryState::Wanted) {
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

/// The needed children of all entries, where those of each begin, and the needed roots.
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
        // With the largest subtree last, an object is freed before that subtree is scanned. So at most log2(objects)
        // bases are in memory at once, however long the chains are.
        if let Some(heaviest) = (0..family.len()).max_by_key(|at| family.get(*at).map_or(0, size)) {
            family.swap(heaviest, family.len() - 1);
        }
    }
    let heavy = u32::try_from(bases.len()).unwrap_or(u32::MAX) / HEAVY_PART;
    roots.sort_by_key(|root| size(root) <= heavy);
    (starts, children, roots)
}

/// The size of each entry's subtree, with itself. `below`: the number of direct children.
fn sizes(bases: &[u32], needed: &[bool], mut below: Vec<u32>) -> Vec<u32> {
    let mut sizes = vec![1_u32; bases.len()];
    for first in 0..bases.len() {
        let mut at = first;
        // From each leaf upwards, as long as it is the last unfinished child of its base.
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

/// Reads the headers of entries in the order of their offsets.
struct HeaderReader<'a> {
    pack: &'a Pack,
    bytes: Vec<u8>,
    from: u64,
    length: usize,
}

impl HeaderReader<'_> {
    fn at(&mut self, offset: u64) -> Result<&[u8], SkipReason> {
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
