use crate::index::arena::Arena;
use crate::index::sample::{hash, samples};

/// The most counters of the sketch: 2 MiB.
const SKETCH_BITS_MAX: u32 = 20;
/// The cost of a sample that is common in data, such as zeros or dashes.
const COMMON_COST: u32 = 64;
/// The cost of a sample that may be a word.
const WORD_COST: u32 = 2;

/// Chooses the start of the sampled window in each form: where its samples are rarest.
///
/// Values share prefixes (`sk-proj-`) and armour (`-----BEGIN`), and have runs of one byte; a window there would be
/// confirmed in vain again and again. Any window is correct, a rare one is fast.
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

/// Approximate counts of the samples in all needles, by hash.
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
