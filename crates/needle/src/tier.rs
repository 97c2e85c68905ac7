use zeroize::{Zeroize, Zeroizing};

use crate::Hit;
use crate::arena::Arena;
use crate::windows::{choose, samples};

/// The bytes of one sample: what one load brings.
pub(crate) const SAMPLE_BYTES: usize = 8;
/// Samples further apart than this gain nothing: memory is the limit then. It also bounds the table per needle.
const STRIDE_BYTES_MAX: usize = 57;
/// Bits of the filter per entry: with 24 one sample in 150 passes at most. With more, a thousand values in all their forms would not
/// fit a second-level cache of 1 MiB, which costs more than what passes.
const FILTER_BITS_PER_ENTRY: usize = 24;
/// 512 bytes: small sets stay in the first cache.
const FILTER_BITS_LOG2_MIN: u32 = 12;
/// 2 MiB: what a second-level cache holds.
const FILTER_BITS_LOG2_MAX: u32 = 24;

/// Spreads a sample over 64 bits; the upper ones are the good ones (Fibonacci hashing, Knuth vol. 3 §6.4).
pub(crate) fn hash(sample: u64) -> u64 {
    sample.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Needles of similar length, found together by one pass: short ones must not slow the others down.
pub(crate) struct Tier {
    /// The distance of samples: every needle's window is `stride + 7` bytes long, so exactly one sample falls in it.
    stride: usize,
    filter: Filter,
    table: Table,
}

impl Tier {
    /// Prepares the forms with these numbers; none shorter than [`SAMPLE_BYTES`].
    pub(crate) fn new(arena: &Arena, members: &[u32]) -> Option<Self> {
        let shortest =
            members.iter().filter_map(|&member| arena.get(member)).map(|(form, _)| form.len()).min()?;
        let stride = (shortest.checked_sub(SAMPLE_BYTES)? + 1).min(STRIDE_BYTES_MAX);
        let starts = choose(arena, members, stride);
        let mut entries = Zeroizing::new(Vec::with_capacity(members.len() * stride));
        for (&form, &start) in members.iter().zip(&starts) {
            let (_, bytes) = arena.get(form)?;
            let window = samples(bytes).enumerate().skip(start).take(stride);
            entries.extend(window.map(|(offset, sample)| Entry { sample, form, offset: offset as u32 }));
        }
        Some(Self {
            stride,
            filter: Filter::new(entries.iter().map(|entry| entry.sample)),
            table: Table::new(&entries),
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
                if Filter::passes(word, hash) {
                    self.confirm(arena, haystack, at + number * self.stride, on_hit);
                }
            }
            at += 4 * self.stride;
        }
        while haystack.len() >= at + SAMPLE_BYTES {
            let hash = hash(load(haystack, at));
            if Filter::passes(self.filter.word(hash), hash) {
                self.confirm(arena, haystack, at, on_hit);
            }
            at += self.stride;
        }
    }

    /// Compares the needles whose window may hold the sample at `at`. Rare, so kept out of the loop.
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

/// One sample of one needle's window, and where in the needle it stands.
#[derive(Clone, Copy, Default, Zeroize)]
struct Entry {
    sample: u64,
    form: u32,
    offset: u32,
}

/// Two bits in one word per hash: a sample that lacks one of them belongs to no needle.
///
/// A Bloom filter whose bits share a word: one load per sample, and few samples go on to the table, whose loads
/// would miss the cache.
pub(crate) struct Filter {
    words: Zeroizing<Vec<u64>>,
    shift: u32,
}

impl Filter {
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

    /// Whether some sample may be this one.
    #[inline]
    pub(crate) fn may_have(&self, sample: u64) -> bool {
        let hash = hash(sample);
        Self::passes(self.word(hash), hash)
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// The two bits of a hash. The word is chosen by its upper 18 bits at most; these are the twelve from the 46th
    /// down.
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
        // Two tests of one bit each, the second rarely made: measured a third faster than one test of a mask of both.
        word >> first & 1 != 0 && word >> second & 1 != 0
    }
}

/// The sample that begins at `at`; 0 when fewer bytes follow.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |sample| u64::from_le_bytes(*sample))
}

/// The entries in the order of their hash, with a directory of where each range of hashes begins.
struct Table {
    entries: Zeroizing<Vec<Entry>>,
    directory: Vec<u32>,
    shift: u32,
}

impl Table {
    fn new(unordered: &[Entry]) -> Self {
        let bits = unordered.len().next_power_of_two().ilog2().clamp(4, FILTER_BITS_LOG2_MAX);
        let shift = 64 - bits;
        let mut entries = Zeroizing::new(unordered.to_vec());
        entries.sort_unstable_by_key(|entry| (hash(entry.sample), entry.form, entry.offset));
        let mut directory = Vec::with_capacity((1 << bits) + 1);
        for bucket in 0..=1u64 << bits {
            let before = |entry: &Entry| hash(entry.sample) >> shift < bucket;
            directory.push(entries.partition_point(before) as u32);
        }
        Self { entries, directory, shift }
    }

    fn bucket(&self, sample: u64) -> &[Entry] {
        let bucket = (hash(sample) >> self.shift) as usize;
        match self.directory.get(bucket..bucket + 2) {
            Some(&[start, end]) => self.entries.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Where tiers part: a value of 8 bytes needs a sample at every byte, one of 16 only at every ninth.
const TIER_BYTES: [std::ops::Range<usize>; 3] = [8..12, 12..16, 16..usize::MAX];

/// The tiers that some forms of a set of needles need, at most three.
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
