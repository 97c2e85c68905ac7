use std::sync::Arc;

use crate::Needles;
use crate::index::tier::SampleFilter;

/// The bytes that are tested in the filter before a search among the forms; fewer would pass too often.
const BEGIN_BYTES: usize = 5;

/// All forms, sorted, to test whether bytes are the start of one.
pub(crate) struct Prefixes {
    pub(crate) needles: Arc<Needles>,
    sorted: Vec<u32>,
    /// The first bytes of all forms; for most texts it spares the search.
    begins: SampleFilter,
}

impl Prefixes {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        let arena = needles.arena();
        let first = |form| arena.bytes(form).first_chunk().map_or(0, sample);
        let begins = SampleFilter::new(arena.forms().iter().map(|form| first(*form)));
        let mut sorted: Vec<u32> = (0u32..).zip(arena.forms()).map(|(number, _)| number).collect();
        sorted.sort_unstable_by_key(|&number| arena.get(number).map(|(_, bytes)| bytes));
        Self { needles, sorted, begins }
    }

    /// Where the longest suffix of `text` starts that a longer form begins with; the length of `text` if there is
    /// none.
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
