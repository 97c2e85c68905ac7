use keyroll_needle::{FingerprintSet, Hit, Needles};

/// An exact matcher for known values. It reports ids and offsets, never bytes.
pub trait Search {
    /// Calls `hit` with (id, offset) for every complete match in `bytes`, in any order.
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize));

    /// The longest possible match, in bytes: how much of each piece must be kept for the next.
    fn longest(&self) -> usize;
}

impl Search for Needles {
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
        Needles::find(self, bytes, &mut |found: Hit| hit(found.id.0, found.start));
    }

    fn longest(&self) -> usize {
        Needles::longest(self)
    }
}

/// The id of a value is the version of its label. Found are the encodings that a set decodes, see [`FingerprintSet`]; as
/// by value, an occurrence that line ends interrupt is not.
impl Search for FingerprintSet {
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
        FingerprintSet::find(self, bytes, &mut |found| {
            // A version that is no id is none of those that are searched for.
            if let Ok(id) = u32::try_from(found.label.version) {
                hit(id, found.start);
            }
        });
    }

    fn longest(&self) -> usize {
        FingerprintSet::longest(self)
    }
}
