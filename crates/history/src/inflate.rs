//! Compressed bytes (RFC 1950), with their size known beforehand.

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::skipped::Why;

/// The most that one compressed byte can become, bytes: a property of the format.
const RATIO_MAX: u64 = 1032;

/// The state that is used for one object after the other.
pub(crate) struct Inflater(Inflate);

/// What a piece of input led to.
pub(crate) struct Step {
    /// How much of the input was used, bytes.
    pub(crate) read: usize,
    /// How much was written, bytes.
    pub(crate) written: usize,
    /// Whether the stream has ended, with its checksum right.
    pub(crate) ended: bool,
}

impl Inflater {
    pub(crate) fn new() -> Inflater {
        Inflater(Inflate::new(true, 15))
    }

    /// Begins another stream.
    pub(crate) fn begin(&mut self) {
        self.0.reset(true);
    }

    /// Inflates one piece. With `last` no more input will follow.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step, Why> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let flush = if last { InflateFlush::Finish } else { InflateFlush::NoFlush };
        let status = self
            .0
            .decompress(input, out, flush)
            .map_err(|_| Why::Corrupt("what is compressed does not inflate"))?;
        Ok(Step {
            read: usize::try_from(self.0.total_in().saturating_sub(read)).unwrap_or(usize::MAX),
            written: usize::try_from(self.0.total_out().saturating_sub(written)).unwrap_or(usize::MAX),
            ended: status == Status::StreamEnd,
        })
    }
}

/// Refuses a size that so few compressed bytes cannot become, before memory is asked for.
pub(crate) fn credible(size: u64, compressed: u64) -> Result<(), Why> {
    if size > compressed.saturating_mul(RATIO_MAX) {
        return Err(Why::Corrupt("it says that it is larger than its compressed bytes can become"));
    }
    Ok(())
}

/// The most compressed bytes that an object of this size is written in. Writers that store what does not compress add
/// a little; more than this is made to be slow.
pub(crate) fn compressed_max(size: u64) -> u64 {
    size.saturating_add(size / 8).saturating_add(1024)
}

/// What is wrong with a stream that did not end where it should.
pub(crate) fn ends_at(written: usize, size: usize, ended: bool) -> Result<(), Why> {
    match (ended, written.cmp(&size)) {
        (true, std::cmp::Ordering::Equal) => Ok(()),
        (_, std::cmp::Ordering::Greater) => Err(Why::Corrupt("it inflates to more than it says")),
        (true, _) => Err(Why::Corrupt("it inflates to less than it says")),
        (false, _) => Err(Why::Corrupt("its compressed bytes do not end")),
    }
}
