use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{HttpError, Request};

/// The largest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time limit, from the first look-up of the name to the last byte of the answer.
    pub time: Duration,
    /// The largest body of an answer, bytes.
    pub body_bytes_max: usize,
    /// What happens to a longer body.
    pub excess: Excess,
}

/// What happens to a body that is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The exchange fails with [`HttpError::Lost`].
    Refuse,
    /// The rest is not read.
    Cut,
}

/// A whole answer. Its body is overwritten on drop.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// A header as text; `None` where it is missing or no ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Connects, sends the request once and reads the whole answer, all within the time limit. Any stream will do: TCP, TLS, or
/// a Unix socket.
///
/// # Errors
/// [`HttpError`]: whether the request may have had its effect.
pub async fn exchange<S>(
    connecting: impl Future<Output = Result<S, HttpError>>,
    request: Request,
    limits: &Limits,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sent = AtomicBool::new(false);
    let attempt = async { converse(connecting.await?, request, limits, &sent).await };
    let outcome = timeout(limits.time, attempt).await;
    outcome.unwrap_or_else(|_| Err(HttpError::TimedOut { sent: sent.load(Ordering::Relaxed) }))
}

async fn converse<S>(
    stream: S,
    request: Request,
    limits: &Limits,
    sent: &AtomicBool,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request.assemble()?;
    let mut builder = http1::Builder::new();
    // Servers that speak only the older version may compare header names letter by letter.
    builder.max_buf_size(HEAD_BYTES_MAX).title_case_headers(request.version() == Version::HTTP_10);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| HttpError::NotSent("the connection closed".to_owned()))?;
    sent.store(true, Ordering::Relaxed);
    let answer = async { read(sender.send_request(request).await.map_err(lost)?, limits).await };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection task may end before the answer has been taken from its channel.
        _ = connection => answer.await,
    }
}

fn lost(error: hyper::Error) -> HttpError {
    let why = if error.is_parse() {
        "an answer that is no HTTP"
    } else if error.is_incomplete_message() {
        "the connection closed before the whole answer"
    } else {
        "the connection was lost"
    };
    HttpError::Lost(why.to_owned())
}

async fn read(response: hyper::Response<Incoming>, limits: &Limits) -> Result<Response, HttpError> {
    let (head, mut incoming) = response.into_parts();
    let max = limits.body_bytes_max;
    let announced = usize::try_from(incoming.size_hint().lower()).unwrap_or(max).min(max);
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(lost)?;
        let Some(data) = frame.data_ref() else { continue };
        let room = max.saturating_sub(body.len());
        body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        match limits.excess {
            Excess::Refuse if data.len() > room => {
                return Err(HttpError::Lost(format!("an answer of more than {max} bytes")));
            }
            Excess::Cut if data.len() >= room => break,
            Excess::Refuse | Excess::Cut => {}
        }
    }
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    const PATIENT: Limits =
        Limits { time: Duration::from_secs(20), body_bytes_max: 8, excess: Excess::Refuse };

    /// One exchange over a Unix socket whose other end sends this answer and closes; returns also the request.
    async fn answered(answer: &'static [u8], limits: Limits) -> (Result<Response, HttpError>, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let served = tokio::spawn(async move {
            let mut head = vec![0; 4096];
            let length = theirs.read(&mut head).await.unwrap();
            theirs.write_all(answer).await.unwrap();
            String::from_utf8(head[..length].to_vec()).unwrap()
        });
        let request = Request::get("localhost".to_owned(), "/ready?a=b".to_owned());
        let outcome = exchange(async { Ok(ours) }, request, &limits).await;
        (outcome, served.await.unwrap())
    }

    #[tokio::test]
    async fn one_request_is_sent_and_its_answer_is_read() {
        let (outcome, sent) = answered(b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", PATIENT).await;
        let response = outcome.ok().unwrap();
        assert_eq!((response.status, response.header("a"), response.body.len()), (204, Some("b"), 0));
        assert!(sent.starts_with("GET /ready?a=b HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("host: localhost\r\n") && sent.contains("connection: close\r\n"), "{sent}");
        // In chunks, and to the end of the connection.
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(*answered(chunked, PATIENT).await.0.ok().unwrap().body, b"ab");
        assert_eq!(*answered(b"HTTP/1.0 200 OK\r\n\r\nab", PATIENT).await.0.ok().unwrap().body, b"ab");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_any_other() {
        let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answered(moved, PATIENT).await.0.ok().unwrap().status, 302);
    }

    #[tokio::test]
    async fn a_body_beyond_its_limit_is_refused_or_cut() {
        let long = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n123456789abc";
        let refused = answered(long, PATIENT).await.0.err();
        assert_eq!(refused, Some(HttpError::Lost("an answer of more than 8 bytes".to_owned())));
        let cut = Limits { excess: Excess::Cut, ..PATIENT };
        assert_eq!(*answered(long, cut).await.0.ok().unwrap().body, b"12345678");
    }

    #[tokio::test]
    async fn without_an_answer_it_is_known_whether_the_request_was_sent() {
        for (answer, why) in [
            (&b"hello\r\n\r\n"[..], "an answer that is no HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "the connection closed before the whole answer"),
            (b"", "the connection closed before the whole answer"),
        ] {
            assert_eq!(answered(answer, PATIENT).await.0.err(), Some(HttpError::Lost(why.to_owned())));
        }
        let brief = Limits { time: Duration::from_millis(20), ..PATIENT };
        let request = || Request::get("localhost".to_owned(), "/".to_owned());
        let never = exchange::<UnixStream>(std::future::pending(), request(), &brief).await;
        assert_eq!(never.err(), Some(HttpError::TimedOut { sent: false }));
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let silent = exchange(async { Ok(ours) }, request(), &brief).await;
        assert_eq!(silent.err(), Some(HttpError::TimedOut { sent: true }));
    }
}
