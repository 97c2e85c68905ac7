use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Needles;

/// Three bytes that may begin a form, hashed to so many bits: 128 KiB.
const BEGIN_BITS_LOG2: u32 = 20;

/// The forms in their order, to ask whether some bytes begin one.
pub(crate) struct Prefixes {
    pub(crate) needles: Arc<Needles>,
    sorted: Vec<u32>,
    /// What the first three bytes of forms are, as far as a bit can say; nothing is searched for most bytes of a text.
    begins: Zeroizing<Vec<u64>>,
}

impl Prefixes {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        let arena = needles.arena();
        let mut begins = Zeroizing::new(vec![0; 1 << (BEGIN_BITS_LOG2 - u64::BITS.ilog2())]);
        for first in arena.forms().iter().filter_map(|form| arena.bytes(*form).first_chunk()) {
            let (word, bit) = place(*first);
            if let Some(word) = begins.get_mut(word) {
                *word |= bit;
            }
        }
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
        if let Some(first) = end.first_chunk() {
            let (word, bit) = place(*first);
            if self.begins.get(word).is_none_or(|word| word & bit == 0) {
                return false;
            }
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
fn place([a, b, c]: [u8; 3]) -> (usize, u64) {
    // Fibonacci hashing, as of samples: the upper bits are the good ones.
    let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> (u32::BITS - BEGIN_BITS_LOG2);
    ((hash / u64::BITS) as usize, 1 << (hash % u64::BITS))
}
