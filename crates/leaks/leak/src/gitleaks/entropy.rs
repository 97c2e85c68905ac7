use std::collections::BTreeMap;

/// The Shannon entropy of characters, in bits per byte, as gitleaks computes it. All invalid bytes count as one
/// character.
pub(super) fn of_characters(value: &[u8]) -> f64 {
    if value.is_ascii() {
        return of_bytes(value);
    }
    let mut counts: BTreeMap<char, u32> = BTreeMap::new();
    for chunk in value.utf8_chunks() {
        let broken = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
        for letter in chunk.valid().chars().chain(broken) {
            let count = counts.entry(letter).or_default();
            *count = count.saturating_add(1);
        }
    }
    sum(counts.into_values(), value.len())
}

/// The Shannon entropy of bytes, in bits per byte, as Betterleaks' filters compute it.
pub(super) fn of_bytes(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    sum(counts.into_iter(), value.len())
}

fn sum(counts: impl Iterator<Item = u32>, bytes: usize) -> f64 {
    let whole = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    let share = |count: u32| f64::from(count) / whole;
    counts.filter(|count| *count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_counted_as_each_of_them_counts_it() {
        for (value, expected) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcd", 2.0), ("aabc", 1.5)] {
            assert!((of_bytes(value.as_bytes()) - expected).abs() < 1e-9, "{value}");
            assert!((of_characters(value.as_bytes()) - expected).abs() < 1e-9, "{value}");
        }
        // Two characters in four bytes: each has a quarter of the bytes.
        assert!((of_characters("äö".as_bytes()) - 1.0).abs() < 1e-9);
        assert!((of_bytes("äö".as_bytes()) - 1.5).abs() < 1e-9);
        assert!((of_characters(b"\xFF\xFE") - 0.0).abs() < 1e-9);
    }
}
