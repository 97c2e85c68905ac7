//! Inflates zlib streams (RFC 1950) of known inflated size.

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::scan::skipped::SkipReason;

/// The most bytes that one compressed byte can inflate to: a property of the format.
const RATIO_MAX: u64 = 1032;

/// A zlib decoder that is reused for many streams.
pub(crate) struct Inflater(Inflate);

/// The result of inflating a piece of input.
pub(crate) struct InflateStep {
    /// Bytes of the input that were used.
    pub(crate) read: usize,
    /// Bytes that were written.
    pub(crate) written: usize,
    /// Whether the stream has ended with a correct checksum.
    pub(crate) ended: bool,
}

impl Inflater {
    pub(crate) fn new() -> Inflater {
        Inflater(Inflate::new(true, 15))
    }

    /// Starts a new stream.
    pub(crate) fn begin(&mut self) {
        self.0.reset(true);
    }

    /// Inflates one piece. `last`: no more input follows.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        last: bool,
    ) -> Result<InflateStep, SkipReason> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let flush = if last { InflateFlush::Finish } else { InflateFlush::NoFlush };
        let status = self
            .0
            .decompress(input, out, flush)
            .map_err(|_| SkipReason::Corrupt("its compressed data are invalid"))?;
        Ok(InflateStep {
            read: usize::try_from(self.0.total_in().saturating_sub(read)).unwrap_or(usize::MAX),
            written: usize::try_from(self.0.total_out().saturating_sub(written)).unwrap_or(usize::MAX),
            ended: status == Status::StreamEnd,
        })
    }
}

/// Rejects a size that `compressed` bytes cannot inflate to, before memory is allocated.
pub(crate) fn credible(size: u64, compressed: u64) -> Result<(), SkipReason> {
    if size > compressed.saturating_mul(RATIO_MAX) {
        return Err(SkipReason::Corrupt("its declared size is impossible for its compressed size"));
    }
    Ok(())
}

/// The most compressed bytes that are read for an object of this size. Incompressible data grows a little; a longer
/// stream is an attack on time.
pub(crate) fn compressed_max(size: u64) -> u64 {
    size.saturating_add(size / 8).saturating_add(1024)
}

/// Checks that a stream ended at its declared size.
pub(crate) fn ends_at(written: usize, size: usize, ended: bool) -> Result<(), SkipReason> {
    match (ended, written.cmp(&size)) {
        (true, std::cmp::Ordering::Equal) => Ok(()),
        (_, std::cmp::Ordering::Greater) => Err(SkipReason::Corrupt("it is larger than its declared size")),
        (true, _) => Err(SkipReason::Corrupt("it is smaller than its declared size")),
        (false, _) => Err(SkipReason::Corrupt("its compressed data are truncated")),
    }
}
