use crate::arena::Arena;
use crate::tier::{SAMPLE_BYTES, hash};

/// The sketch that counts samples has at most so many counters: 2 MiB.
const SKETCH_BITS_MAX: u32 = 20;
/// What a sample costs that data is full of, such as zeros or dashes.
const COMMON_COST: u32 = 64;
/// What a sample costs that may be a word.
const WORD_COST: u32 = 2;

/// Chooses where in each form the sampled window starts: where its samples are the least common.
///
/// Values share prefixes (`sk-proj-`) and armour (`-----BEGIN`), and hold runs of one byte; a window there would
/// be confirmed again and again in vain. Any window is correct, a rare one is fast.
pub(crate) fn choose(arena: &Arena, members: &[u32], stride: usize) -> Vec<usize> {
    let sketch = Sketch::of(arena, members);
    members
        .iter()
        .map(|&member| arena.get(member).map_or(0, |(_, bytes)| cheapest(bytes, stride, &sketch)))
        .collect()
}

fn cheapest(bytes: &[u8], stride: usize, sketch: &Sketch) -> usize {
    let costs: Vec<u32> = samples(bytes).map(|sample| cost(sample) + sketch.others(sample)).collect();
    let sums = costs.windows(stride).map(|window| window.iter().map(|&cost| u64::from(cost)).sum::<u64>());
    sums.enumerate().min_by_key(|&(_, sum)| sum).map_or(0, |(start, _)| start)
}

/// Every 8 bytes that stand together.
pub(crate) fn samples(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.windows(SAMPLE_BYTES).filter_map(|window| window.first_chunk().copied().map(u64::from_le_bytes))
}

fn cost(sample: u64) -> u32 {
    let bytes = sample.to_le_bytes();
    let distinct =
        bytes.iter().enumerate().filter(|(index, byte)| !bytes.iter().take(*index).any(|b| b == *byte));
    if distinct.count() <= 2 {
        COMMON_COST
    } else if bytes
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_punctuation() || *byte == b' ')
        || bytes.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_punctuation() || *byte == b' ')
    {
        WORD_COST
    } else {
        0
    }
}

/// About how often each sample occurs among the needles, kept by hash alone.
struct Sketch {
    counters: Vec<u16>,
    shift: u32,
}

impl Sketch {
    fn of(arena: &Arena, members: &[u32]) -> Self {
        let all =
            || members.iter().filter_map(|&member| arena.get(member)).flat_map(|(_, bytes)| samples(bytes));
        let bits = (all().count() * 2).next_power_of_two().ilog2().clamp(8, SKETCH_BITS_MAX);
        let mut sketch = Self { counters: vec![0; 1 << bits], shift: 64 - bits };
        for sample in all() {
            let slot = sketch.slot(sample);
            if let Some(counter) = sketch.counters.get_mut(slot) {
                *counter = counter.saturating_add(1);
            }
        }
        sketch
    }

    fn slot(&self, sample: u64) -> usize {
        (hash(sample) >> self.shift) as usize
    }

    fn others(&self, sample: u64) -> u32 {
        self.counters.get(self.slot(sample)).map_or(0, |&count| u32::from(count.saturating_sub(1)))
    }
}
