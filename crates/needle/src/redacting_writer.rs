use std::io::{self, Write};
use std::sync::Arc;

use crate::{Needles, Redactor};

/// One call takes at most so much, so that memory stays bounded whatever is written.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Writes through, with every occurrence of a needle replaced, however the writes are cut: a [`Redactor`] before a writer.
///
/// [`flush`](Write::flush) does not release what is held back, since half a value is not to be shown. It is released by
/// [`finish`](Self::finish), or on drop.
pub struct RedactingWriter<W: Write> {
    inner: W,
    redactor: Redactor,
    /// Output that `inner` has not taken yet; nothing secret is in it.
    ready: Vec<u8>,
}

impl<W: Write> RedactingWriter<W> {
    /// Writes to `inner` what is left of the input without these needles.
    pub fn new(inner: W, needles: Arc<Needles>) -> Self {
        Self { inner, redactor: Redactor::new(needles), ready: Vec::new() }
    }

    /// The inner writer; what is written to it directly is not looked at.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Looks for these from here on: [`Redactor::look_for`].
    pub fn look_for(&mut self, needles: Arc<Needles>) {
        self.redactor.look_for(needles);
    }

    /// Ends the stream: what was held back is no needle now, and is released. Errors: those of the inner writer.
    pub fn finish(&mut self) -> io::Result<()> {
        self.redactor.finish(&mut self.ready);
        self.drain()?;
        self.inner.flush()
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

impl<W: Write> Write for RedactingWriter<W> {
    /// Errors are those of output decided earlier: once input was taken it is not refused any more, and the error
    /// of its own output comes with the next call.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.drain()?;
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        self.redactor.push(piece, &mut self.ready);
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
