//! Memory for objects' bytes: used again and again, and overwritten when it is given back to the system.

use zeroize::Zeroizing;

use crate::skipped::Why;

/// Room behind an object's bytes: inflating is fast only while this much is free.
pub(crate) const SLACK_BYTES: usize = 512;

/// Memory is asked for in pieces of so many bytes.
const STEP_BYTES: usize = 64 * 1024;

/// The largest buffer that is kept for another object, bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most buffers that are kept.
const KEPT_MAX: usize = 8;

/// An object's bytes.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Buffer {
    /// Makes it hold so many bytes, of no known content, and gives them with the room behind them.
    ///
    /// What it held is not copied: a copy would stay where nothing overwrites it.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        let wanted = length.saturating_add(SLACK_BYTES);
        if self.bytes.len() < wanted {
            self.bytes = Zeroizing::new(vec![0; wanted.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES)]);
        }
        self.length = length;
        &mut self.bytes
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What it takes of memory, bytes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }
}

/// Buffers that are free.
#[derive(Default)]
pub(crate) struct Pool {
    free: Vec<Buffer>,
}

impl Pool {
    /// A buffer that may have room for so many bytes already.
    pub(crate) fn take(&mut self, length: usize) -> Buffer {
        let fits = |buffer: &Buffer| buffer.held() >= length.saturating_add(SLACK_BYTES);
        match self.free.iter().position(fits) {
            Some(at) => self.free.swap_remove(at),
            None => self.free.pop().unwrap_or_default(),
        }
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        if self.free.len() < KEPT_MAX && buffer.held() <= KEPT_BYTES_MAX {
            self.free.push(buffer);
        }
    }
}

/// A size that was read, as a size in memory, if that many bytes are looked at.
pub(crate) fn bounded(bytes: u64, bytes_max: u64) -> Result<usize, Why> {
    match usize::try_from(bytes) {
        Ok(length) if bytes <= bytes_max => Ok(length),
        _ => Err(Why::Large { bytes, bytes_max }),
    }
}
