use zeroize::Zeroizing;

/// A decoded piece of text, with the origin of each byte.
pub(crate) struct DecodedText {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The origin of each byte, and the end of the last one.
    at: Vec<usize>,
}

impl DecodedText {
    /// Allocates at once: a buffer that grows leaves copies behind.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bytes)), at: Vec::with_capacity(bytes + 1) }
    }

    /// A piece of text that needs no decoding.
    pub(crate) fn of(text: &[u8], from: usize, to: usize) -> Self {
        let piece = text.get(from..to).unwrap_or_default();
        let mut view = Self::with_room_for(piece.len());
        view.bytes.extend_from_slice(piece);
        view.at.extend(from..=from + piece.len());
        view
    }

    /// Appends a byte with its origin.
    pub(crate) fn push(&mut self, byte: u8, at: usize) {
        self.bytes.push(byte);
        self.at.push(at);
    }

    /// Sets the end of the last byte.
    pub(crate) fn end(&mut self, at: usize) {
        self.at.push(at);
    }

    /// The origin of a byte; for the length, the end of the last byte.
    pub(crate) fn from(&self, index: usize) -> usize {
        self.at.get(index).or(self.at.last()).copied().unwrap_or(0)
    }

    /// The bytes with this origin; several if one escape stands for several.
    pub(crate) fn made_of(&self, at: usize) -> std::ops::Range<usize> {
        let bytes = self.at.get(..self.bytes.len()).unwrap_or_default();
        bytes.partition_point(|from| *from < at)..bytes.partition_point(|from| *from <= at)
    }
}
