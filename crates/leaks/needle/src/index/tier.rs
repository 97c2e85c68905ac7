use zeroize::{Zeroize, Zeroizing};

use crate::Hit;
use crate::index::arena::Arena;
use crate::index::sample::{SAMPLE_BYTES, hash, samples};
use crate::index::sample_windows::choose;

/// The largest distance of samples: beyond it memory bandwidth is the limit. It also bounds the table for each
/// needle.
const STRIDE_BYTES_MAX: usize = 57;
/// Bits of the filter for each entry: with 24 at most one sample in 150 passes. With more, a thousand values in all
/// their forms would not fit a second-level cache of 1 MiB, which costs more.
const FILTER_BITS_PER_ENTRY: usize = 24;
/// 512 bytes: small sets stay in the first-level cache.
const FILTER_BITS_LOG2_MIN: u32 = 12;
/// 2 MiB: the size of a second-level cache.
const FILTER_BITS_LOG2_MAX: u32 = 24;

/// Needles of similar length, found in one pass: short needles need dense samples, and would slow the others down.
pub(crate) struct Tier {
    /// The distance of samples: every needle's window is `stride + 7` bytes long, so exactly one sample falls in it.
    stride: usize,
    filter: SampleFilter,
    table: SampleTable,
}

impl Tier {
    /// Indexes the forms with these numbers; none may be shorter than [`SAMPLE_BYTES`].
    pub(crate) fn new(arena: &Arena, members: &[u32]) -> Option<Self> {
        let shortest =
            members.iter().filter_map(|&member| arena.get(member)).map(|(form, _)| form.len()).min()?;
        let stride = (shortest.checked_sub(SAMPLE_BYTES)? + 1).min(STRIDE_BYTES_MAX);
        let starts = choose(arena, members, stride);
        let mut entries = Zeroizing::new(Vec::with_capacity(members.len() * stride));
        for (&form, &start) in members.iter().zip(&starts) {
            let (_, bytes) = arena.get(form)?;
            let window = samples(bytes).enumerate().skip(start).take(stride);
            entries.extend(window.map(|(offset, sample)| SampleEntry {
                sample,
                form,
                offset: offset as u32,
            }));
        }
        Some(Self {
            stride,
            filter: SampleFilter::new(entries.iter().map(|entry| entry.sample)),
            table: SampleTable::new(&entries),
        })
    }

    /// Reports every occurrence once. Not generic, so that it is compiled here, at this crate's level of optimisation.
    pub(crate) fn find(&self, arena: &Arena, haystack: &[u8], on_hit: &mut dyn FnMut(Hit)) {
        let mut at = 0;
        // Four samples at a time: their loads do not wait for each other's tests.
        while let Some(block) = haystack.get(at..at + 3 * self.stride + SAMPLE_BYTES) {
            let hashes = [0, 1, 2, 3].map(|number| hash(load(block, number * self.stride)));
            let words = hashes.map(|hash| self.filter.word(hash));
            for ((number, hash), word) in hashes.into_iter().enumerate().zip(words) {
                if SampleFilter::passes(word, hash) {
                    self.confirm(arena, haystack, at + number * self.stride, on_hit);
                }
            }
            at += 4 * self.stride;
        }
        while haystack.len() >= at + SAMPLE_BYTES {
            let hash = hash(load(haystack, at));
            if SampleFilter::passes(self.filter.word(hash), hash) {
                self.confirm(arena, haystack, at, on_hit);
            }
            at += self.stride;
        }
    }

    /// Compares the needles whose window may contain the sample at `at`. Rare, so kept out of the loop.
    #[inline(never)]
    fn confirm(&self, arena: &Arena, haystack: &[u8], at: usize, on_hit: &mut dyn FnMut(Hit)) {
        let sample = load(haystack, at);
        for entry in self.table.bucket(sample).iter().filter(|entry| entry.sample == sample) {
            let Some(start) = at.checked_sub(entry.offset as usize) else { continue };
            let Some((form, bytes)) = arena.get(entry.form) else { continue };
            let end = start + bytes.len();
            if haystack.get(start..end) == Some(bytes) {
                on_hit(Hit { id: form.id, encoding: form.encoding, start, end });
            }
        }
    }
}

/// One sample of a needle's window, with its offset in the needle.
#[derive(Clone, Copy, Default, Zeroize)]
struct SampleEntry {
    sample: u64,
    form: u32,
    offset: u32,
}

/// A Bloom filter with two bits in one word for each hash: one load for each sample, and few samples go on to the
/// table, whose loads would miss the cache.
pub(crate) struct SampleFilter {
    words: Zeroizing<Vec<u64>>,
    shift: u32,
}

impl SampleFilter {
    pub(crate) fn new(samples: impl ExactSizeIterator<Item = u64>) -> Self {
        let bits = (samples.len() * FILTER_BITS_PER_ENTRY).next_power_of_two().ilog2();
        let bits = bits.clamp(FILTER_BITS_LOG2_MIN, FILTER_BITS_LOG2_MAX);
        let words_log2 = bits - u64::BITS.ilog2();
        let mut filter = Self { words: Zeroizing::new(vec![0; 1 << words_log2]), shift: 64 - words_log2 };
        for sample in samples {
            let hash = hash(sample);
            let (slot, (first, second)) = (filter.slot(hash), Self::bits(hash));
            if let Some(word) = filter.words.get_mut(slot) {
                *word |= 1 << first | 1 << second;
            }
        }
        filter
    }

    /// Whether the sample may be in the set.
    #[inline]
    pub(crate) fn may_have(&self, sample: u64) -> bool {
        let hash = hash(sample);
        Self::passes(self.word(hash), hash)
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// The two bits of a hash. Its upper 18 bits at most choose the word; these are the twelve from the 46th down.
    #[inline]
    fn bits(hash: u64) -> (u64, u64) {
        ((hash >> 40) % 64, (hash >> 34) % 64)
    }

    #[inline]
    fn word(&self, hash: u64) -> u64 {
        self.words.get(self.slot(hash)).copied().unwrap_or(0)
    }

    #[inline]
    fn passes(word: u64, hash: u64) -> bool {
        let (first, second) = Self::bits(hash);
        // Two tests of one bit, the second rarely made: measured a third faster than one test of both.
        word >> first & 1 != 0 && word >> second & 1 != 0
    }
}

/// The sample at `at`; 0 if fewer bytes follow.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |sample| u64::from_le_bytes(*sample))
}

/// The entries sorted by hash, with a directory of the start of each range of hashes.
struct SampleTable {
    entries: Zeroizing<Vec<SampleEntry>>,
    directory: Vec<u32>,
    shift: u32,
}

impl SampleTable {
    fn new(unordered: &[SampleEntry]) -> Self {
        let bits = unordered.len().next_power_of_two().ilog2().clamp(4, FILTER_BITS_LOG2_MAX);
        let shift = 64 - bits;
        let mut entries = Zeroizing::new(unordered.to_vec());
        entries.sort_unstable_by_key(|entry| (hash(entry.sample), entry.form, entry.offset));
        let mut directory = Vec::with_capacity((1 << bits) + 1);
        for bucket in 0..=1u64 << bits {
            let before = |entry: &SampleEntry| hash(entry.sample) >> shift < bucket;
            directory.push(entries.partition_point(before) as u32);
        }
        Self { entries, directory, shift }
    }

    fn bucket(&self, sample: u64) -> &[SampleEntry] {
        let bucket = (hash(sample) >> self.shift) as usize;
        match self.directory.get(bucket..bucket + 2) {
            Some(&[start, end]) => self.entries.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The limits of the tiers: a value of 8 bytes needs a sample at every byte, one of 16 only at every ninth.
const TIER_BYTES: [std::ops::Range<usize>; 3] = [8..12, 12..16, 16..usize::MAX];

/// The tiers for the forms that pass `is_one`, at most three.
pub(crate) fn split(arena: &Arena, is_one: impl Fn(&[u8]) -> bool) -> Vec<Tier> {
    let numbered = || (0u32..).zip(arena.forms()).filter(|(_, form)| is_one(arena.bytes(**form)));
    TIER_BYTES
        .iter()
        .filter_map(|lengths| {
            let members: Vec<u32> = numbered()
                .filter(|(_, form)| lengths.contains(&form.len()))
                .map(|(number, _)| number)
                .collect();
            Tier::new(arena, &members)
        })
        .collect()
}
