use crate::prints::key::{Mac, PrintKey, TAG_BITS};

/// The bytes of a value that its tag is made of: what one load brings.
pub(crate) const WINDOW_BYTES: usize = 8;
/// Eight windows, of which each begins a byte later.
const BLOCK_BYTES: usize = 2 * WINDOW_BYTES - 1;
/// Bits of the filter per print: one window in a thousand goes on to the table.
const FILTER_BITS_PER_PRINT: usize = 1024;
/// 512 bytes.
const FILTER_BITS_LOG2_MIN: u32 = 12;
/// All bits of a tag, 2 MiB: what a second-level cache holds.
const FILTER_BITS_LOG2_MAX: u32 = TAG_BITS;

/// What is known of one byte string that is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Print {
    /// The upper bits of its window, spread.
    pub(crate) tag: u32,
    /// In bytes.
    pub(crate) length: u32,
    /// Of all of it.
    pub(crate) mac: Mac,
    /// The number of its label.
    pub(crate) label: u32,
}

impl Print {
    /// `None` when there is no window in it.
    pub(crate) fn of(key: &PrintKey, bytes: &[u8], label: u32) -> Option<Self> {
        let at = window_at(bytes.len())?;
        let tag = tag(key.spread(load(bytes, at)?));
        Some(Self { tag, length: u32::try_from(bytes.len()).ok()?, mac: key.value(bytes), label })
    }
}

/// Where the window stands in a value of this length: behind three quarters of what stands around it, where neither a published
/// beginning nor padding is. It goes by the length alone, so that the place says nothing of the value.
pub(crate) fn window_at(length: usize) -> Option<usize> {
    Some(length.checked_sub(WINDOW_BYTES)? * 3 / 4)
}

/// Whether a window is one, two or four bytes again and again: texts are full of those.
pub(crate) fn is_even(bytes: &[u8], at: usize) -> bool {
    load(bytes, at).is_none_or(|window| window == window.rotate_left(32))
}

fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|window| u64::from_le_bytes(*window))
}

fn tag(spread: u64) -> u32 {
    (spread >> (u64::BITS - TAG_BITS)) as u32
}

/// The prints in the order of their tags, and a filter before them.
pub(crate) struct Table {
    prints: Vec<Print>,
    filter: Vec<u64>,
    filter_bits: u32,
}

impl Table {
    pub(crate) fn new(mut prints: Vec<Print>) -> Self {
        prints.sort_unstable();
        prints.dedup();
        let bits = (prints.len().max(1) * FILTER_BITS_PER_PRINT).next_power_of_two().ilog2();
        let filter_bits = bits.clamp(FILTER_BITS_LOG2_MIN, FILTER_BITS_LOG2_MAX);
        let mut filter = vec![0; 1 << (filter_bits - u64::BITS.ilog2())];
        for print in &prints {
            let bit = print.tag >> (TAG_BITS - filter_bits);
            if let Some(word) = filter.get_mut((bit / u64::BITS) as usize) {
                *word |= 1 << (bit % u64::BITS);
            }
        }
        Self { prints, filter, filter_bits }
    }

    pub(crate) fn prints(&self) -> &[Print] {
        &self.prints
    }

    /// The lengths of the shortest and of the longest that is looked for, in bytes.
    pub(crate) fn lengths(&self) -> Option<(usize, usize)> {
        let lengths = || self.prints.iter().map(|print| print.length as usize);
        Some((lengths().min()?, lengths().max()?))
    }

    /// The prints whose window may stand here.
    pub(crate) fn with_window(&self, key: &PrintKey, bytes: &[u8], at: usize) -> &[Print] {
        match load(bytes, at) {
            Some(window) => self.with_tag(tag(key.spread(window))),
            None => &[],
        }
    }

    fn with_tag(&self, tag: u32) -> &[Print] {
        let from = self.prints.partition_point(|print| print.tag < tag);
        let rest = self.prints.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|print| print.tag == tag)).unwrap_or_default()
    }

    /// Names every place at which a window has the tag of a print; one in 2²⁴ of them has it by chance, for each print.
    pub(crate) fn scan(&self, key: &PrintKey, bytes: &[u8], on_window: &mut dyn FnMut(usize)) {
        let word_shift = u64::BITS - self.filter_bits + u64::BITS.ilog2();
        let bit_shift = u64::BITS - self.filter_bits;
        let passes = |window: &[u8; WINDOW_BYTES]| {
            let spread = key.spread(u64::from_le_bytes(*window));
            let word = self.filter.get((spread >> word_shift) as usize).copied().unwrap_or(0);
            word >> ((spread >> bit_shift) % 64) & 1
        };
        let mut at = 0;
        // Several windows at a time: one branch for all of them, and their loads do not wait for each other.
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK_BYTES>()) {
            let mut passed = 0;
            for (number, window) in block.windows(WINDOW_BYTES).enumerate() {
                passed |= window.first_chunk().map_or(0, &passes) << number;
            }
            while passed != 0 {
                self.look(key, bytes, at + passed.trailing_zeros() as usize, on_window);
                passed &= passed - 1;
            }
            at += BLOCK_BYTES - WINDOW_BYTES + 1;
        }
        for (number, window) in bytes.get(at..).unwrap_or_default().windows(WINDOW_BYTES).enumerate() {
            if window.first_chunk().map_or(0, &passes) != 0 {
                self.look(key, bytes, at + number, on_window);
            }
        }
    }

    /// Rare, so kept out of the loop.
    #[inline(never)]
    fn look(&self, key: &PrintKey, bytes: &[u8], at: usize, on_window: &mut dyn FnMut(usize)) {
        if !is_even(bytes, at) && !self.with_window(key, bytes, at).is_empty() {
            on_window(at);
        }
    }
}
