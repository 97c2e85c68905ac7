use std::collections::BTreeMap;

use crate::NeedlesBuilder;
use crate::arena::Arena;
use crate::tier::{self, Tier};

/// The caller's own number for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeedleId(pub u32);

/// One occurrence of one encoding of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// Which value.
    pub id: NeedleId,
    /// In which form.
    pub encoding: crate::Encoding,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset after its last byte. For base64 and base32, of the digits that the value alone determines.
    pub end: usize,
}

/// Values that are looked for, in every encoding; their memory is overwritten on drop.
pub struct Needles {
    arena: Arena,
    tiers: Vec<Tier>,
    longest: usize,
    names: BTreeMap<NeedleId, String>,
}

impl Needles {
    /// Starts a set of needles.
    pub fn builder() -> NeedlesBuilder {
        NeedlesBuilder::default()
    }

    pub(crate) fn new(arena: Arena, names: BTreeMap<NeedleId, String>) -> Self {
        let tiers = tier::split(&arena);
        let longest = arena.forms().iter().map(|form| form.len()).max().unwrap_or(0);
        Self { arena, tiers, longest, names }
    }

    /// Calls `on_hit` once for every occurrence of every encoding of every value, overlapping ones included.
    ///
    /// The order is not that of the haystack. No allocation, no copy of the haystack.
    pub fn find(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        for tier in &self.tiers {
            tier.find(&self.arena, haystack, on_hit);
        }
    }

    /// Whether nothing at all is found; stops at nothing, so it costs one [`find`](Self::find).
    pub fn is_clean(&self, haystack: &[u8]) -> bool {
        let mut clean = true;
        self.find(haystack, &mut |_| clean = false);
        clean
    }

    /// The length of the longest encoding in bytes: whoever cuts the input himself must let pieces overlap by one
    /// byte less ([`Chunked`](crate::Chunked) does). 0 when there are no needles.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The number of byte strings that are looked for: values times their encodings.
    pub fn forms(&self) -> usize {
        self.arena.forms().len()
    }

    pub(crate) fn name(&self, id: NeedleId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}
