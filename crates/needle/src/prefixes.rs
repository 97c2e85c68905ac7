use std::sync::Arc;

use crate::Needles;
use crate::tier::Filter;

/// So many bytes are asked for in the filter before the forms are searched: of what stands at the end of a text fewer say little.
const BEGIN_BYTES: usize = 5;

/// The forms in their order, to ask whether some bytes begin one.
pub(crate) struct Prefixes {
    pub(crate) needles: Arc<Needles>,
    sorted: Vec<u32>,
    /// What the first bytes of forms are; nothing is searched for most bytes of a text.
    begins: Filter,
}

impl Prefixes {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        let arena = needles.arena();
        let first = |form| arena.bytes(form).first_chunk().map_or(0, sample);
        let begins = Filter::new(arena.forms().iter().map(|form| first(*form)));
        let mut sorted: Vec<u32> = (0u32..).zip(arena.forms()).map(|(number, _)| number).collect();
        sorted.sort_unstable_by_key(|&number| arena.get(number).map(|(_, bytes)| bytes));
        Self { needles, sorted, begins }
    }

    /// Where the longest end of `text` begins that is the beginning of a longer form; its length when there is none.
    pub(crate) fn undecided(&self, text: &[u8]) -> usize {
        let first = (text.len() + 1).saturating_sub(self.needles.longest());
        (first..text.len())
            .find(|&start| text.get(start..).is_some_and(|end| self.begins_longer(end)))
            .unwrap_or(text.len())
    }

    #[inline]
    fn begins_longer(&self, end: &[u8]) -> bool {
        if end.first_chunk().is_some_and(|first| !self.begins.may_have(sample(first))) {
            return false;
        }
        self.search(end)
    }

    fn search(&self, end: &[u8]) -> bool {
        let bytes =
            |&number: &u32| self.needles.arena().get(number).map(|(_, bytes)| bytes).unwrap_or_default();
        let next = self.sorted.partition_point(|number| bytes(number) <= end);
        self.sorted.get(next).is_some_and(|number| bytes(number).starts_with(end))
    }
}

#[inline]
fn sample([a, b, c, d, e]: &[u8; BEGIN_BYTES]) -> u64 {
    u64::from_le_bytes([*a, *b, *c, *d, *e, 0, 0, 0])
}
