//! Redacts log lines (feature `tracing`).

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use keyroll_needle::Needles;
use tracing_core::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::{Patterns, RedactingStream};

/// The patterns for log lines. Clones share them, so that they can be changed while the program runs.
#[derive(Clone)]
pub struct LogPatterns(Arc<RwLock<Patterns>>);

impl LogPatterns {
    /// Starts with these patterns.
    pub fn new(patterns: Patterns) -> Self {
        Self(Arc::new(RwLock::new(patterns)))
    }

    /// Replaces the known values for lines that begin from now on; the rules stay.
    pub fn set_needles(&self, needles: Arc<Needles>) {
        let patterns = self.now().with(needles);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = patterns;
    }

    fn now(&self) -> Patterns {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The longest line that is buffered, bytes; a longer one is written in parts.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Wraps the writer of a `fmt` layer: redacts each line as a whole and writes it at once, so that lines of several
/// threads do not mix.
///
/// A value that the program splits between two events is not found.
pub struct RedactingMakeWriter<M> {
    inner: M,
    watched: LogPatterns,
}

impl<M> RedactingMakeWriter<M> {
    /// Wraps `inner`.
    pub fn new(inner: M, watched: &LogPatterns) -> Self {
        Self { inner, watched: watched.clone() }
    }
}

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for RedactingMakeWriter<M> {
    type Writer = LogLine<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        LogLine::new(self.inner.make_writer(), &self.watched.now())
    }

    fn make_writer_for(&'w self, meta: &Metadata<'_>) -> Self::Writer {
        LogLine::new(self.inner.make_writer_for(meta), &self.watched.now())
    }
}

/// One line. Written on drop, which cannot report an error.
pub struct LogLine<W: Write> {
    inner: W,
    stream: RedactingStream,
    /// The redacted part of the line.
    ready: Vec<u8>,
}

impl<W: Write> LogLine<W> {
    fn new(inner: W, patterns: &Patterns) -> Self {
        Self { inner, stream: RedactingStream::new(patterns), ready: Vec::new() }
    }

    fn leave(&mut self) -> io::Result<()> {
        let written = self.inner.write_all(&self.ready);
        self.ready.clear();
        written
    }
}

impl<W: Write> Write for LogLine<W> {
    /// Errors are those of a part of a line that is too long to buffer; the part is lost then.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        let piece = input.get(..LINE_BYTES_MAX).unwrap_or(input);
        self.stream.push(piece, &mut self.ready);
        if self.ready.len() > LINE_BYTES_MAX {
            self.leave()?;
        }
        Ok(piece.len())
    }

    /// Does nothing: the line is incomplete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for LogLine<W> {
    fn drop(&mut self) {
        self.stream.finish(&mut self.ready);
        let _ = self.leave().and_then(|()| self.inner.flush());
    }
}
