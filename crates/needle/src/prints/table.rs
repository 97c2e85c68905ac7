use crate::prints::key::{Mac, PrintKey, TAG_BITS};

/// The bytes of a value that its tag is made of: what one load brings.
pub(crate) const WINDOW_BYTES: usize = 8;
/// Eight windows, of which each begins a byte later.
const BLOCK_BYTES: usize = 2 * WINDOW_BYTES - 1;
/// The bytes of the filter, one for the upper bits of a tag: 256 KiB. With a thousand prints four windows in a thousand are looked
/// at again.
const SLOTS: usize = 1 << 18;
/// The bytes of the filter for more prints than these, 2 MiB: what a second-level cache holds.
const SLOTS_MAX: usize = 1 << 21;
/// More prints than these take the larger filter.
const FEW_PRINTS_MAX: usize = 4096;

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

/// Which byte of a filter says whether a window may be one of a print, and which bit of it, by the three bits that follow.
#[inline]
fn place(spread: u64, slots: usize) -> (usize, u8) {
    let upper = spread >> (u64::BITS - slots.ilog2() - 3);
    ((upper >> 3) as usize, 1 << (upper % 8))
}

/// The prints in the order of their tags, and a filter before them.
pub(crate) struct Table {
    prints: Vec<Print>,
    filter: Vec<u8>,
}

impl Table {
    pub(crate) fn new(mut prints: Vec<Print>) -> Self {
        prints.sort_unstable();
        prints.dedup();
        let slots = if prints.len() <= FEW_PRINTS_MAX { SLOTS } else { SLOTS_MAX };
        let mut filter = vec![0; slots];
        for print in &prints {
            let (slot, bit) = place(u64::from(print.tag) << (u64::BITS - TAG_BITS), slots);
            if let Some(slot) = filter.get_mut(slot) {
                *slot |= bit;
            }
        }
        Self { prints, filter }
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
        if let Some(filter) = self.filter.first_chunk::<SLOTS_MAX>() {
            self.scan_by(filter, key, bytes, on_window);
        } else if let Some(filter) = self.filter.first_chunk::<SLOTS>() {
            self.scan_by(filter, key, bytes, on_window);
        }
    }

    /// For each size apart, so that no index is tested and every shift is known.
    fn scan_by<const SLOTS: usize>(
        &self,
        filter: &[u8; SLOTS],
        key: &PrintKey,
        bytes: &[u8],
        on_window: &mut dyn FnMut(usize),
    ) {
        let slot = |window: &[u8; WINDOW_BYTES]| {
            let (slot, bit) = place(key.spread(u64::from_le_bytes(*window)), SLOTS);
            (filter.get(slot).copied().unwrap_or(0), bit)
        };
        let mut look = |from: usize, windows: &[u8]| {
            for (number, window) in windows.windows(WINDOW_BYTES).enumerate() {
                let (slot, bit) = window.first_chunk().map_or((0, 0), slot);
                if slot & bit != 0 {
                    self.look(key, bytes, from + number, on_window);
                }
            }
        };
        let mut at = 0;
        // Several windows at a time: one branch for all of them, and their loads do not wait for each other.
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK_BYTES>()) {
            let mut any = 0;
            for window in block.windows(WINDOW_BYTES) {
                any |= window.first_chunk().map_or(0, |window| slot(window).0);
            }
            if any != 0 {
                look(at, block);
            }
            at += BLOCK_BYTES - WINDOW_BYTES + 1;
        }
        look(at, bytes.get(at..).unwrap_or_default());
    }

    /// Rare, so kept out of the loop.
    #[inline(never)]
    fn look(&self, key: &PrintKey, bytes: &[u8], at: usize, on_window: &mut dyn FnMut(usize)) {
        if !is_even(bytes, at) && !self.with_window(key, bytes, at).is_empty() {
            on_window(at);
        }
    }
}
