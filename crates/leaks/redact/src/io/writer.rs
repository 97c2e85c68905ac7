use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::{Patterns, RedactingStream, Report};

/// The most bytes that one call takes, so that memory stays bounded.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Redacts the input of a writer.
///
/// [`flush`](Write::flush) does not release bytes that are held back, because half a value must not be shown.
/// [`finish`](Self::finish) and drop do. A crash loses them.
pub struct RedactingWriter<W: Write> {
    inner: W,
    stream: RedactingStream,
    /// Redacted output that `inner` has not taken yet.
    ready: Vec<u8>,
}

impl<W: Write> RedactingWriter<W> {
    /// Starts a stream.
    pub fn new(inner: W, patterns: &Patterns) -> Self {
        Self { inner, stream: RedactingStream::new(patterns), ready: Vec::new() }
    }

    /// The inner writer; direct writes to it are not redacted.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// The stream, to add values or read the report.
    pub fn stream(&mut self) -> &mut RedactingStream {
        &mut self.stream
    }

    /// Ends the stream: writes the bytes that were held back.
    ///
    /// # Errors Those of the inner writer; the next call tries again to write what it did not take.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.finish(&mut self.ready);
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
    /// Errors are those of earlier output: input that was taken is never refused, and the error of its output is
    /// returned by the next call.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.drain()?;
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        self.stream.push(piece, &mut self.ready);
        // On an error the output stays in `ready`, and the next call tries again.
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
        // Drop cannot report an error; `finish` does.
        let _ = self.finish();
    }
}

/// Redacts the input of an asynchronous writer.
///
/// A flush does not release bytes that are held back; only a shutdown does. A drop before it loses them.
pub struct AsyncRedactingWriter<W> {
    inner: W,
    stream: RedactingStream,
    /// Redacted output that `inner` has not taken yet.
    ready: Vec<u8>,
    finished: bool,
}

impl<W: AsyncWrite + Unpin> AsyncRedactingWriter<W> {
    /// Starts a stream.
    pub fn new(inner: W, patterns: &Patterns) -> Self {
        Self { inner, stream: RedactingStream::new(patterns), ready: Vec::new(), finished: false }
    }

    /// The inner writer; direct writes to it are not redacted.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// The stream, to add values.
    pub fn stream(&mut self) -> &mut RedactingStream {
        &mut self.stream
    }

    /// The replacements so far.
    pub fn report(&self) -> &Report {
        self.stream.report()
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

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncRedactingWriter<W> {
    /// Takes nothing while earlier output waits, so at most one write is buffered.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.drain(context))?;
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = input.get(..WRITE_BYTES_MAX).unwrap_or(input);
        this.stream.push(piece, &mut this.ready);
        // The next call returns the error: this input was taken.
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
            this.stream.finish(&mut this.ready);
        }
        ready!(this.drain(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}
