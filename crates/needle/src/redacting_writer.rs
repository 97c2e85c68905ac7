use std::io::{self, Write};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Needles;
use crate::regions::{Region, merge, push_marker};

/// One call takes at most so much, so that memory stays bounded whatever is written.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Writes through, with every occurrence of a needle replaced, however the writes are cut.
///
/// The output is that of [`Needles::redact`] on the whole. Held back is only what could be the beginning of a needle
/// (or lies in a run of overlapping ones that is still open); [`flush`](Write::flush) does not release it, since
/// half a needle is not to be shown. It is released by [`finish`](Self::finish), or on drop.
pub struct RedactingWriter<W: Write> {
    inner: W,
    prefixes: Prefixes,
    /// Input that is not decided yet.
    held: Zeroizing<Vec<u8>>,
    /// Where `held` begins in the stream; regions count from the start of the stream.
    base: usize,
    /// Regions that may still grow, and those behind them; the first may begin before `held`.
    open: Vec<Region>,
    /// Output that `inner` has not taken yet; nothing secret is in it.
    ready: Vec<u8>,
}

impl<W: Write> RedactingWriter<W> {
    /// Writes to `inner` what is left of the input without these needles.
    pub fn new(inner: W, needles: Arc<Needles>) -> Self {
        let prefixes = Prefixes::new(needles);
        Self { inner, prefixes, held: Zeroizing::default(), base: 0, open: Vec::new(), ready: Vec::new() }
    }

    /// The inner writer; what is written to it directly is not looked at.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Ends the stream: what was held back is no needle now, and is released. Errors: those of the inner writer.
    pub fn finish(&mut self) -> io::Result<()> {
        let end = self.base + self.held.len();
        self.release(end);
        self.drain()?;
        self.inner.flush()
    }

    fn take(&mut self, input: &[u8]) {
        append(&mut self.held, input);
        let mut found = std::mem::take(&mut self.open);
        let base = self.base;
        self.prefixes.needles.find(&self.held, &mut |hit| {
            found.push(Region { start: hit.start + base, end: hit.end + base, id: hit.id });
        });
        self.open = merge(found);
        let undecided = base + self.prefixes.undecided(&self.held);
        self.release(undecided);
    }

    /// Decides everything before `limit`: no occurrence that is still to come begins before it.
    fn release(&mut self, limit: usize) {
        let mut at = self.base;
        let mut closed = 0;
        for region in &self.open {
            self.ready.extend_from_slice(slice(&self.held, self.base, at, region.start.min(limit)));
            if region.end > limit {
                at = limit;
                break;
            }
            push_marker(&self.prefixes.needles, *region, &mut self.ready);
            at = region.end;
            closed += 1;
        }
        self.open.drain(..closed);
        self.ready.extend_from_slice(slice(&self.held, self.base, at, limit));
        let decided = (limit - self.base).min(self.held.len());
        self.held.drain(..decided);
        self.base = limit;
    }

    fn drain(&mut self) -> io::Result<()> {
        while !self.ready.is_empty() {
            match self.inner.write(&self.ready) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.ready.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The bytes of the stream from `from` to `to`, as far as they are held; nothing when `to` is not behind `from`.
fn slice(held: &[u8], base: usize, from: usize, to: usize) -> &[u8] {
    match (from.checked_sub(base), to.checked_sub(base)) {
        (Some(from), Some(to)) => held.get(from..to).unwrap_or_default(),
        (None, _) | (_, None) => &[],
    }
}

/// Grows into a new buffer, so that the old one is overwritten and not merely freed.
fn append(held: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    let needed = held.len() + input.len();
    if needed > held.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(input);
}

impl<W: Write> Write for RedactingWriter<W> {
    /// Errors are those of output decided earlier: once input was taken it is not refused any more, and the error
    /// of its own output comes with the next call.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.drain()?;
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        self.take(piece);
        // The output stays in `ready` on an error, and is tried again by the next call.
        let _ = self.drain();
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for RedactingWriter<W> {
    fn drop(&mut self) {
        // A drop has nobody to tell; whoever wants to know calls `finish`.
        let _ = self.finish();
    }
}

/// The forms in their order, to ask whether some bytes begin one.
struct Prefixes {
    needles: Arc<Needles>,
    sorted: Vec<u32>,
    begins: [bool; 256],
}

impl Prefixes {
    fn new(needles: Arc<Needles>) -> Self {
        let arena = needles.arena();
        let mut begins = [false; 256];
        for first in arena.forms().iter().filter_map(|form| arena.bytes(*form).first()) {
            if let Some(begin) = begins.get_mut(usize::from(*first)) {
                *begin = true;
            }
        }
        let mut sorted: Vec<u32> = (0u32..).zip(arena.forms()).map(|(number, _)| number).collect();
        sorted.sort_unstable_by_key(|&number| arena.get(number).map(|(_, bytes)| bytes));
        Self { needles, sorted, begins }
    }

    /// Where the longest end of `held` begins that is the beginning of a longer form; its length when there is none.
    fn undecided(&self, held: &[u8]) -> usize {
        let first = (held.len() + 1).saturating_sub(self.needles.longest());
        (first..held.len())
            .find(|&start| held.get(start..).is_some_and(|end| self.begins_longer(end)))
            .unwrap_or(held.len())
    }

    fn begins_longer(&self, end: &[u8]) -> bool {
        let known = end.first().and_then(|&byte| self.begins.get(usize::from(byte)));
        if !known.copied().unwrap_or(false) {
            return false;
        }
        let bytes =
            |&number: &u32| self.needles.arena().get(number).map(|(_, bytes)| bytes).unwrap_or_default();
        let next = self.sorted.partition_point(|number| bytes(number) <= end);
        self.sorted.get(next).is_some_and(|number| bytes(number).starts_with(end))
    }
}
