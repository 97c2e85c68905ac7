use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use keyroll_secret::SecretBytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Buffer, Response};

/// How long one call may take, from its first byte to the last of its answer.
const CALL_MS_MAX: u64 = 5_000;
/// How long a connection may take to be made.
const CONNECT_MS_MAX: u64 = 2_000;

/// One call to make.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) bearer: Option<&'a SecretBytes>,
    /// Further headers; never a secret.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl<'a> Call<'a> {
    /// A plain GET.
    pub(crate) fn get(target: &'a str) -> Self {
        Self { method: "GET", target, bearer: None, headers: &[], body: b"" }
    }
}

/// Why a call got no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    Connect(io::Error),
    Broken(io::Error),
    Malformed(&'static str),
    TimedOut,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Malformed(what) => f.write_str(what),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for CallError {}

/// A connection that is kept between calls. The caller drops it after an error, so that nothing is sent twice.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Buffer,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, CallError> {
        let connect = timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(address));
        let stream = connect.await.map_err(|_| CallError::TimedOut)?.map_err(CallError::Connect)?;
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        Ok(Self { stream, buffer: Buffer::new() })
    }

    /// Whether the other side has closed it, or sent something unasked. Asks the kernel, because the runtime learns of
    /// a close only later.
    pub(crate) fn is_over(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(recv(&self.stream, &mut [0u8][..], peek), Err(Errno::WOULDBLOCK))
    }

    pub(crate) async fn call(&mut self, call: &Call<'_>) -> Result<Response, CallError> {
        timeout(Duration::from_millis(CALL_MS_MAX), self.exchange(call))
            .await
            .map_err(|_| CallError::TimedOut)?
    }

    async fn exchange(&mut self, call: &Call<'_>) -> Result<Response, CallError> {
        self.stream.write_all(&bytes(call)).await.map_err(CallError::Broken)?;
        loop {
            if let Some((response, length)) =
                Response::parse(self.buffer.filled()).map_err(CallError::Malformed)?
            {
                self.buffer.consume(length);
                return Ok(response);
            }
            if self.buffer.fill(&mut self.stream).await.map_err(CallError::Broken)? == 0 {
                return Err(CallError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// The bytes of a call, built in one buffer of the full size.
fn bytes(call: &Call<'_>) -> Zeroizing<Vec<u8>> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        call.method,
        call.target,
        call.body.len()
    );
    for (name, value) in call.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let bearer: &[u8] = call.bearer.map_or(b"", |value| value.expose());
    let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + bearer.len() + call.body.len() + 64));
    bytes.extend_from_slice(head.as_bytes());
    if call.bearer.is_some() {
        bytes.extend_from_slice(b"authorization: Bearer ");
        bytes.extend_from_slice(bearer);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(call.body);
    bytes
}
