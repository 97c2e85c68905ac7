//! Lines of a log, with the feature `tracing`.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use keyroll_needle::Needles;
use tracing_core::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::{ShieldWriter, Sought};

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

/// Before the writer of a `fmt` layer: each of its lines is looked at as a whole, and leaves when it is complete.
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
        Line(ShieldWriter::new(self.inner.make_writer(), &self.watched.now()))
    }

    fn make_writer_for(&'w self, meta: &Metadata<'_>) -> Self::Writer {
        Line(ShieldWriter::new(self.inner.make_writer_for(meta), &self.watched.now()))
    }
}

/// One line; it ends on drop.
pub struct Line<W: Write>(ShieldWriter<W>);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.0.write(input)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
