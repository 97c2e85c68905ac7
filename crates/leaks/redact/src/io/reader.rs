use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use zeroize::Zeroizing;

use crate::{Patterns, RedactingStream};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Redacts an asynchronous reader. Errors are those of the inner reader; they do not release bytes that are held
/// back.
pub struct RedactingReader<R> {
    inner: R,
    stream: RedactingStream,
    input: Zeroizing<Vec<u8>>,
    /// Output, and how much of it was returned.
    ready: Vec<u8>,
    read: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> RedactingReader<R> {
    /// Starts a stream.
    pub fn new(inner: R, patterns: &Patterns) -> Self {
        let input = Zeroizing::new(vec![0; READ_BYTES]);
        Self {
            inner,
            stream: RedactingStream::new(patterns),
            input,
            ready: Vec::new(),
            read: 0,
            ended: false,
        }
    }

    /// The stream, to add values or read the report.
    pub fn stream(&mut self) -> &mut RedactingStream {
        &mut self.stream
    }

    /// Reads and redacts once; false at the end of the stream.
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
            self.stream.finish(&mut self.ready);
        } else {
            self.stream.push(buffer.filled(), &mut self.ready);
        }
        Poll::Ready(Ok(true))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for RedactingReader<R> {
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
