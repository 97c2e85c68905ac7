//! Reusable memory for the bytes of objects; wiped when it is freed.

use zeroize::Zeroizing;

use crate::scan::skipped::SkipReason;

/// Free bytes after an object's own: inflating is fast only with this much room.
pub(crate) const SLACK_BYTES: usize = 512;

/// Buffers grow in steps of this size, bytes.
const STEP_BYTES: usize = 64 * 1024;

/// The largest buffer that the pool keeps, bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most buffers that the pool keeps.
const KEPT_MAX: usize = 8;

/// An object's bytes.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Buffer {
    /// Sets the length, and returns that many bytes of unspecified content, with the slack after them.
    ///
    /// Growing does not copy the old content: a copy would stay in memory that nothing wipes.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        let wanted = length.saturating_add(SLACK_BYTES);
        if self.bytes.len() < wanted {
            self.bytes = Zeroizing::new(vec![0; wanted.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES)]);
        }
        self.length = length;
        &mut self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The allocated memory, bytes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }
}

/// Free buffers.
#[derive(Default)]
pub(crate) struct Pool {
    free: Vec<Buffer>,
}

impl Pool {
    /// A buffer, if possible one with room for `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Buffer {
        let fits = |buffer: &Buffer| buffer.held() >= length.saturating_add(SLACK_BYTES);
        match self.free.iter().position(fits) {
            Some(at) => self.free.swap_remove(at),
            None => self.free.pop().unwrap_or_default(),
        }
    }

    /// Returns a buffer to the pool.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        if self.free.len() < KEPT_MAX && buffer.held() <= KEPT_BYTES_MAX {
            self.free.push(buffer);
        }
    }
}

/// A size that was read from a file, as a `usize`, if it is within the limit.
pub(crate) fn bounded(bytes: u64, bytes_max: u64) -> Result<usize, SkipReason> {
    match usize::try_from(bytes) {
        Ok(length) if bytes <= bytes_max => Ok(length),
        _ => Err(SkipReason::Large { bytes, bytes_max }),
    }
}
