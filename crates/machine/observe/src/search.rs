use keyroll_needle::{Hit, Needles};

/// An exact matcher for the values that are looked for. It reports ids and places, never bytes.
pub trait Search {
    /// Calls `hit` with (id, offset) for every match that lies whole in `bytes`, in any order.
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize));

    /// The longest match possible, in bytes: how much must be kept where bytes come in pieces.
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
