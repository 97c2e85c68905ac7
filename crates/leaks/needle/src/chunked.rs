use zeroize::Zeroizing;

use crate::{Hit, Needles};

/// Finds needles in a stream of chunks of any size: every occurrence once, wherever it was cut.
///
/// Keeps the last [`Needles::longest`] - 1 bytes, in memory that is wiped on drop.
pub struct ChunkedSearch<'n> {
    needles: &'n Needles,
    /// The end of the previous chunks; never more than twice `keep`.
    carry: Zeroizing<Vec<u8>>,
    keep: usize,
    seen: usize,
}

impl<'n> ChunkedSearch<'n> {
    /// Starts a stream.
    pub fn new(needles: &'n Needles) -> Self {
        let keep = needles.longest().saturating_sub(1);
        // Allocated at once: a buffer that grows leaves copies behind.
        Self { needles, carry: Zeroizing::new(Vec::with_capacity(2 * keep)), keep, seen: 0 }
    }

    /// Reports the occurrences that end in this chunk; offsets count from the start of the stream.
    pub fn push(&mut self, piece: &[u8], on_hit: &mut impl FnMut(Hit)) {
        let carried = self.carry.len();
        let base = self.seen - carried;
        let head = piece.get(..self.keep).unwrap_or(piece);
        if carried > 0 {
            self.carry.extend_from_slice(head);
            self.needles.find(&self.carry, &mut |hit| {
                if hit.start < carried && hit.end > carried {
                    on_hit(moved(hit, base));
                }
            });
            self.carry.truncate(carried);
        }
        self.needles.find(piece, &mut |hit| on_hit(moved(hit, self.seen)));
        self.seen += piece.len();
        let tail = piece.get(piece.len().saturating_sub(self.keep)..).unwrap_or_default();
        let stale = (self.carry.len() + tail.len()).saturating_sub(self.keep);
        self.carry.drain(..stale.min(carried));
        self.carry.extend_from_slice(tail);
    }

    /// Bytes of the stream so far.
    pub fn seen(&self) -> usize {
        self.seen
    }
}

fn moved(hit: Hit, by: usize) -> Hit {
    Hit { start: hit.start + by, end: hit.end + by, ..hit }
}
