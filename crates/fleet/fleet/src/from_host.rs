use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use keyroll_http::via::{self, Dialed};
use keyroll_link::Tunnel;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Dial, Dialled};
use crate::member::sentence;

/// Connections to servers that leave from one accepted machine, each by a program of its own there.
pub struct FromHost {
    start: Arc<dyn Dial>,
}

impl FromHost {
    /// Those of one machine. `start` starts `keyroll-host reach` there, and refuses a machine that is not the
    /// accepted one.
    pub fn dialer(start: Arc<dyn Dial>) -> Arc<dyn via::Dial> {
        Arc::new(Self { start })
    }
}

#[async_trait]
impl via::Dial for FromHost {
    async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
        let failed = |why: String| io::Error::other(why);
        let started = self.start.dial().await;
        let Dialled { link, hello: _, keeps } = started.map_err(|failure| failed(sentence(&failure)))?;
        let reached = link.reach(host, port).await;
        let Tunnel { local, read, write } = reached.map_err(|error| failed(error.to_string()))?;
        let stream = Bytes { read, write: Some(write), _keeps: keeps };
        Ok(Dialed { stream: Box::new(stream), local })
    }
}

/// The bytes of a connection. The halves are dropped first, then what keeps them.
struct Bytes {
    read: Box<dyn AsyncRead + Unpin + Send>,
    /// `None` once no more is sent: the program there hears that only by the end of its input.
    write: Option<Box<dyn AsyncWrite + Unpin + Send>>,
    _keeps: Box<dyn Send>,
}

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        part: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.write {
            Some(write) => Pin::new(write).poll_write(context, part),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.write {
            Some(write) => Pin::new(write).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        let done = ready!(Pin::new(write).poll_shutdown(context));
        self.write = None;
        Poll::Ready(done)
    }
}
