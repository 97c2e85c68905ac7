//! Lines of a log, with the feature `tracing`.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use keyroll_needle::Needles;
use tracing_core::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::{Shield, Sought};

/// What is looked for in lines from now on; whoever holds it changes it while the program runs.
#[derive(Clone)]
pub struct Watched(Arc<RwLock<Sought>>);

impl Watched {
    /// From the beginning.
    pub fn new(sought: Sought) -> Self {
        Self(Arc::new(RwLock::new(sought)))
    }

    /// Looks for these values in the lines that begin from now on; the rules stay.
    pub fn look_for(&self, needles: Arc<Needles>) {
        let sought = self.now().with(needles);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sought;
    }

    fn now(&self) -> Sought {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The most of a line that is kept, bytes: a longer one leaves in parts.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Before the writer of a `fmt` layer: each of its lines is looked at as a whole, and leaves in one write when it is complete, so that
/// lines of several threads do not mix.
///
/// A value that the program splits over two events is two texts; nothing is remembered from line to line.
pub struct Redacted<M> {
    inner: M,
    watched: Watched,
}

impl<M> Redacted<M> {
    /// Before `inner`.
    pub fn new(inner: M, watched: &Watched) -> Self {
        Self { inner, watched: watched.clone() }
    }
}

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for Redacted<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line::new(self.inner.make_writer(), &self.watched.now())
    }

    fn make_writer_for(&'w self, meta: &Metadata<'_>) -> Self::Writer {
        Line::new(self.inner.make_writer_for(meta), &self.watched.now())
    }
}

/// One line. It ends on drop, and leaves then: a drop has nobody to tell that it could not be written.
pub struct Line<W: Write> {
    inner: W,
    shield: Shield,
    /// What of the line was decided; nothing secret is in it.
    ready: Vec<u8>,
}

impl<W: Write> Line<W> {
    fn new(inner: W, sought: &Sought) -> Self {
        Self { inner, shield: Shield::new(sought), ready: Vec::new() }
    }

    fn leave(&mut self) -> io::Result<()> {
        let written = self.inner.write_all(&self.ready);
        self.ready.clear();
        written
    }
}

impl<W: Write> Write for Line<W> {
    /// Errors are those of a part of a line that is too long to be kept; the part is lost then.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        let piece = input.get(..LINE_BYTES_MAX).unwrap_or(input);
        self.shield.push(piece, &mut self.ready);
        if self.ready.len() > LINE_BYTES_MAX {
            self.leave()?;
        }
        Ok(piece.len())
    }

    /// Releases nothing: the line is not complete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Line<W> {
    fn drop(&mut self) {
        self.shield.finish(&mut self.ready);
        let _ = self.leave().and_then(|()| self.inner.flush());
    }
}
