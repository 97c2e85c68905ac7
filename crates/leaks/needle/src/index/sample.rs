/// The length of a sample, bytes: one load.
pub(crate) const SAMPLE_BYTES: usize = 8;

/// Spreads a sample over 64 bits; the upper ones are well mixed (Fibonacci hashing, Knuth vol. 3 §6.4).
#[inline]
pub(crate) fn hash(sample: u64) -> u64 {
    sample.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Every run of 8 bytes.
pub(crate) fn samples(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.windows(SAMPLE_BYTES).filter_map(|window| window.first_chunk().copied().map(u64::from_le_bytes))
}
