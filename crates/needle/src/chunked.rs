use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::{Hit, Needles};

/// How much of a stream is read at once.
const READ_BYTES: usize = 256 * 1024;

/// Finds needles in a stream that comes in pieces of any size, every occurrence once, wherever it was cut.
///
/// It keeps the last [`Needles::longest`] bytes less one, in memory that is overwritten on drop.
pub struct Chunked<'n> {
    needles: &'n Needles,
    /// The end of what was seen; never more than twice `keep`.
    carry: Zeroizing<Vec<u8>>,
    keep: usize,
    seen: usize,
}

impl<'n> Chunked<'n> {
    /// A stream of which nothing was seen yet.
    pub fn new(needles: &'n Needles) -> Self {
        let keep = needles.longest().saturating_sub(1);
        // All the room at once: a buffer that grows leaves copies behind.
        Self { needles, carry: Zeroizing::new(Vec::with_capacity(2 * keep)), keep, seen: 0 }
    }

    /// Reports the occurrences that end in this piece; offsets count from the start of the stream.
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

    /// Bytes seen so far.
    pub fn seen(&self) -> usize {
        self.seen
    }
}

fn moved(hit: Hit, by: usize) -> Hit {
    Hit { start: hit.start + by, end: hit.end + by, ..hit }
}

impl Needles {
    /// Reads to the end and reports every occurrence; returns the number of bytes read.
    ///
    /// Errors: what the reader said; occurrences before it were reported.
    pub fn find_in_reader(&self, mut reader: impl Read, on_hit: &mut impl FnMut(Hit)) -> io::Result<usize> {
        let mut stream = Chunked::new(self);
        let mut buffer = Zeroizing::new(vec![0; READ_BYTES]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(stream.seen()),
                Ok(length) => stream.push(buffer.get(..length).unwrap_or_default(), on_hit),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
