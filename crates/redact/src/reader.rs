use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use zeroize::Zeroizing;

use crate::{Shield, Sought};

/// So much is read at once, bytes.
const READ_BYTES: usize = 16 * 1024;

/// A [`Shield`] behind an asynchronous reader: what is read from it was looked at. Errors are those of the inner reader; what was
/// held back then is released by none.
pub struct ShieldReader<R> {
    inner: R,
    shield: Shield,
    input: Zeroizing<Vec<u8>>,
    /// Output, and how much of it was read.
    ready: Vec<u8>,
    read: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> ShieldReader<R> {
    /// At the beginning of a stream.
    pub fn new(inner: R, sought: &Sought) -> Self {
        let input = Zeroizing::new(vec![0; READ_BYTES]);
        Self { inner, shield: Shield::new(sought), input, ready: Vec::new(), read: 0, ended: false }
    }

    /// For values that are added, and what was counted.
    pub fn shield(&mut self) -> &mut Shield {
        &mut self.shield
    }

    /// Reads and looks once; `false` = the stream has ended.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        self.ready.clear();
        self.read = 0;
        let mut buffer = ReadBuf::new(&mut self.input);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            self.ended = true;
            self.shield.finish(&mut self.ready);
        } else {
            self.shield.push(buffer.filled(), &mut self.ready);
        }
        Poll::Ready(Ok(true))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for ShieldReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let rest = this.ready.get(this.read..).unwrap_or_default();
            if !rest.is_empty() {
                let taken = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..taken).unwrap_or_default());
                this.read += taken;
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.fill(context))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
