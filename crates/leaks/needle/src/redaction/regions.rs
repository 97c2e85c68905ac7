use crate::{Hit, NeedleId, Needles};

/// A range of overlapping occurrences; the id is that of the one that starts first, then the lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Region {
    pub(crate) start: usize,
    pub(crate) id: NeedleId,
    pub(crate) end: usize,
}

impl From<Hit> for Region {
    fn from(hit: Hit) -> Self {
        Self { start: hit.start, id: hit.id, end: hit.end }
    }
}

/// Merges overlapping regions, in order; adjacent ones stay separate.
pub(crate) fn merge(mut regions: Vec<Region>) -> Vec<Region> {
    regions.sort_unstable();
    let mut merged: Vec<Region> = Vec::with_capacity(regions.len());
    for region in regions {
        match merged.last_mut() {
            Some(last) if region.start < last.end => last.end = last.end.max(region.end),
            Some(_) | None => merged.push(region),
        }
    }
    merged
}

/// Writes the marker of a region.
pub(crate) fn push_marker(needles: &Needles, id: NeedleId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[redacted:");
    match needles.name(id) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => out.extend_from_slice(id.0.to_string().as_bytes()),
    }
    out.push(b']');
}
