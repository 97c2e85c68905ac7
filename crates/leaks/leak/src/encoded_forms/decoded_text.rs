use std::ops::Range;

use zeroize::Zeroizing;

/// The longest text that is decoded, bytes: the longest match of a rule. Longer ones are pictures, fonts and programs.
pub(crate) const ENCODED_BYTES_MAX: usize = crate::BLOCK_BYTES_MAX;

/// A decoded text.
pub(crate) struct DecodedText {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// For each byte: where the text of it begins, and where it ends.
    places: Vec<(usize, usize)>,
    pub(crate) encoding: &'static str,
}

impl DecodedText {
    /// An empty one for a text of this length.
    pub(crate) fn new(encoding: &'static str, bytes: usize) -> Self {
        // A buffer that grows leaves copies behind.
        let room = Zeroizing::new(Vec::with_capacity(bytes));
        Self { bytes: room, places: Vec::with_capacity(bytes), encoding }
    }

    pub(crate) fn push(&mut self, byte: u8, place: Range<usize>) {
        self.bytes.push(byte);
        self.places.push((place.start, place.end));
    }

    /// Adds bytes that stand for themselves, and stand here.
    pub(crate) fn copy(&mut self, bytes: &[u8], start: usize) {
        self.bytes.extend_from_slice(bytes);
        self.places.extend((start..start + bytes.len()).map(|at| (at, at + 1)));
    }

    /// The range of the encoded text of these bytes.
    pub(crate) fn in_text(&self, bytes: &Range<usize>) -> Option<Range<usize>> {
        let (start, _) = self.places.get(bytes.start)?;
        let (_, end) = self.places.get(bytes.end.checked_sub(1)?)?;
        Some(*start..*end)
    }

    /// The last byte's place also covers text without a byte of its own, such as padding.
    pub(crate) fn end_at(&mut self, end: usize) {
        if let Some((_, last)) = self.places.last_mut() {
            *last = end;
        }
    }
}
