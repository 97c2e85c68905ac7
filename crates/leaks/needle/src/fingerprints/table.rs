use crate::fingerprints::key::{FingerprintFileKey, Mac, TAG_BITS};

/// The bytes of a value that its tag is computed from; one load.
pub(crate) const WINDOW_BYTES: usize = 8;
/// Eight windows, each one byte after the previous.
const BLOCK_BYTES: usize = 2 * WINDOW_BYTES - 1;
/// The bytes of the filter, indexed by the upper bits of a tag: 256 KiB. With a thousand fingerprints four windows in
/// a thousand pass.
const SLOTS: usize = 1 << 18;
/// The bytes of the filter for larger sets: 2 MiB, the size of a second-level cache.
const SLOTS_MAX: usize = 1 << 21;
/// The most fingerprints for the small filter.
const FEW_PRINTS_MAX: usize = 4096;

/// The fingerprint of one byte string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ValueFingerprint {
    /// The upper bits of its spread window.
    pub(crate) tag: u32,
    pub(crate) length: u32,
    /// Of all its bytes.
    pub(crate) mac: Mac,
    pub(crate) label: u32,
}

impl ValueFingerprint {
    /// `None` if it is too short for a window.
    pub(crate) fn of(key: &FingerprintFileKey, bytes: &[u8], label: u32) -> Option<Self> {
        let at = window_at(bytes.len())?;
        let tag = tag(key.spread(load(bytes, at)?));
        Some(Self { tag, length: u32::try_from(bytes.len()).ok()?, mac: key.value(bytes), label })
    }
}

/// The offset of the window in a value of this length: at three quarters, where neither a published prefix nor
/// padding is. Depends only on the length, so it reveals nothing.
pub(crate) fn window_at(length: usize) -> Option<usize> {
    Some(length.checked_sub(WINDOW_BYTES)? * 3 / 4)
}

/// Whether a window repeats one, two or four bytes: such windows are common in texts.
pub(crate) fn is_even(bytes: &[u8], at: usize) -> bool {
    load(bytes, at).is_none_or(|window| window == window.rotate_left(32))
}

fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|window| u64::from_le_bytes(*window))
}

fn tag(spread: u64) -> u32 {
    (spread >> (u64::BITS - TAG_BITS)) as u32
}

/// The byte of a filter for a spread window, and the bit in it, given by the next three bits.
#[inline]
fn place(spread: u64, slots: usize) -> (usize, u8) {
    let upper = spread >> (u64::BITS - slots.ilog2() - 3);
    ((upper >> 3) as usize, 1 << (upper % 8))
}

/// The fingerprints sorted by tag, and a filter.
pub(crate) struct FingerprintTable {
    prints: Vec<ValueFingerprint>,
    filter: Vec<u8>,
}

impl FingerprintTable {
    pub(crate) fn new(mut prints: Vec<ValueFingerprint>) -> Self {
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

    pub(crate) fn prints(&self) -> &[ValueFingerprint] {
        &self.prints
    }

    /// The shortest and longest length of a value in the table, bytes.
    pub(crate) fn lengths(&self) -> Option<(usize, usize)> {
        let lengths = || self.prints.iter().map(|print| print.length as usize);
        Some((lengths().min()?, lengths().max()?))
    }

    /// The fingerprints with the tag of this window.
    pub(crate) fn with_window(
        &self,
        key: &FingerprintFileKey,
        bytes: &[u8],
        at: usize,
    ) -> &[ValueFingerprint] {
        match load(bytes, at) {
            Some(window) => self.with_tag(tag(key.spread(window))),
            None => &[],
        }
    }

    fn with_tag(&self, tag: u32) -> &[ValueFingerprint] {
        let from = self.prints.partition_point(|print| print.tag < tag);
        let rest = self.prints.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|print| print.tag == tag)).unwrap_or_default()
    }

    /// Reports every position whose window has the tag of a fingerprint; by chance one in 2²⁴ for each fingerprint.
    pub(crate) fn scan(&self, key: &FingerprintFileKey, bytes: &[u8], on_window: &mut dyn FnMut(usize)) {
        if let Some(filter) = self.filter.first_chunk::<SLOTS_MAX>() {
            self.scan_by(filter, key, bytes, on_window);
        } else if let Some(filter) = self.filter.first_chunk::<SLOTS>() {
            self.scan_by(filter, key, bytes, on_window);
        }
    }

    /// Compiled for each filter size, so that no index is checked and all shifts are constants.
    fn scan_by<const SLOTS: usize>(
        &self,
        filter: &[u8; SLOTS],
        key: &FingerprintFileKey,
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
        // Eight windows at a time: one branch for all, and their loads do not wait for each other.
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
    fn look(&self, key: &FingerprintFileKey, bytes: &[u8], at: usize, on_window: &mut dyn FnMut(usize)) {
        if !is_even(bytes, at) && !self.with_window(key, bytes, at).is_empty() {
            on_window(at);
        }
    }
}
