use zeroize::Zeroizing;

/// A piece of a text as it reads when it is decoded, and where in the text each byte of it comes from.
pub(crate) struct View {
    /// What it reads.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Where each byte comes from, and where the last one ends.
    at: Vec<usize>,
}

impl View {
    /// Room for so many bytes, taken at once: a buffer that grows leaves copies behind.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bytes)), at: Vec::with_capacity(bytes + 1) }
    }

    /// A piece of a text as it is.
    pub(crate) fn of(text: &[u8], from: usize, to: usize) -> Self {
        let piece = text.get(from..to).unwrap_or_default();
        let mut view = Self::with_room_for(piece.len());
        view.bytes.extend_from_slice(piece);
        view.at.extend(from..=from + piece.len());
        view
    }

    /// One byte that comes from there.
    pub(crate) fn push(&mut self, byte: u8, at: usize) {
        self.bytes.push(byte);
        self.at.push(at);
    }

    /// Where the last byte ends; nothing is pushed behind it.
    pub(crate) fn end(&mut self, at: usize) {
        self.at.push(at);
    }

    /// Where a byte comes from; of the number of bytes, where the last one ends.
    pub(crate) fn from(&self, index: usize) -> usize {
        self.at.get(index).or(self.at.last()).copied().unwrap_or(0)
    }

    /// The bytes that come from there; several when one escape is several bytes.
    pub(crate) fn made_of(&self, at: usize) -> std::ops::Range<usize> {
        let bytes = self.at.get(..self.bytes.len()).unwrap_or_default();
        bytes.partition_point(|from| *from < at)..bytes.partition_point(|from| *from <= at)
    }
}
