use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::{Report, Shield, Sought};

/// One call takes at most so much, so that memory stays bounded whatever is written, bytes.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A [`Shield`] before a writer.
///
/// [`flush`](Write::flush) does not release what is held back, since half a value is not to be shown. It is released by
/// [`finish`](Self::finish), or on drop. In a crash what was held back is lost.
pub struct ShieldWriter<W: Write> {
    inner: W,
    shield: Shield,
    /// Output that `inner` has not taken yet; nothing secret is in it.
    ready: Vec<u8>,
}

impl<W: Write> ShieldWriter<W> {
    /// At the beginning of a stream.
    pub fn new(inner: W, sought: &Sought) -> Self {
        Self { inner, shield: Shield::new(sought), ready: Vec::new() }
    }

    /// The inner writer; what is written to it directly is not looked at.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// For values that are added, and what was counted.
    pub fn shield(&mut self) -> &mut Shield {
        &mut self.shield
    }

    /// Ends the stream: what was held back is decided and written.
    ///
    /// # Errors
    /// Those of the inner writer; what it did not take is tried again by the next call.
    pub fn finish(&mut self) -> io::Result<()> {
        self.shield.finish(&mut self.ready);
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

impl<W: Write> Write for ShieldWriter<W> {
    /// Errors are those of output decided earlier: once input was taken it is not refused any more, and the error of its own
    /// output comes with the next call.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.drain()?;
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        self.shield.push(piece, &mut self.ready);
        // The output stays in `ready` on an error, and is tried again by the next call.
        let _ = self.drain();
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for ShieldWriter<W> {
    fn drop(&mut self) {
        // A drop has nobody to tell; whoever wants to know calls `finish`.
        let _ = self.finish();
    }
}

/// A [`Shield`] before an asynchronous writer.
///
/// A flush does not release what is held back; a shutdown does, and only that: what is dropped before is lost with what was held.
pub struct AsyncShieldWriter<W> {
    inner: W,
    shield: Shield,
    /// Output that `inner` has not taken yet; nothing secret is in it.
    ready: Vec<u8>,
    finished: bool,
}

impl<W: AsyncWrite + Unpin> AsyncShieldWriter<W> {
    /// At the beginning of a stream.
    pub fn new(inner: W, sought: &Sought) -> Self {
        Self { inner, shield: Shield::new(sought), ready: Vec::new(), finished: false }
    }

    /// The inner writer; what is written to it directly is not looked at.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// For values that are added.
    pub fn shield(&mut self) -> &mut Shield {
        &mut self.shield
    }

    /// What was replaced so far.
    pub fn report(&self) -> &Report {
        self.shield.report()
    }

    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ready.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(context, &self.ready))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.ready.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncShieldWriter<W> {
    /// Takes nothing while output of earlier input waits; so one write at most waits here.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.drain(context))?;
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        this.shield.push(piece, &mut this.ready);
        // An error comes with the next call: this input was taken.
        let _ = this.drain(context);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.drain(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.finished, true) {
            this.shield.finish(&mut this.ready);
        }
        ready!(this.drain(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}
