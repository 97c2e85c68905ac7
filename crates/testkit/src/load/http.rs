use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest request or answer that this understands, bytes.
const MESSAGE_BYTES_MAX: usize = 16_384;
/// What a caller is told whose connection was closed before any answer.
const CLOSED: &str = "closed without an answer";
/// How long one exchange may take, milliseconds.
const EXCHANGE_MS_MAX: u64 = 10_000;

/// An answer: its status and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Reads one request; the path of its first line.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await?;
        seen.extend(part.iter().take(count));
        if count == 0 || seen.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::other("no whole request"));
        }
    }
    let text = String::from_utf8_lossy(&seen);
    let path = text.split(' ').nth(1).ok_or_else(|| io::Error::other("no path in the request"))?;
    Ok(path.to_owned())
}

/// Writes one answer and closes.
pub(super) async fn write_answer(stream: &mut TcpStream, answer: &HttpResponse) -> io::Result<()> {
    let HttpResponse { status, body } = answer;
    let reason = if *status == 200 { "OK" } else { "Service Unavailable" };
    let head =
        format!("HTTP/1.1 {status} {reason}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

/// One GET on a new connection, within a time limit.
pub(super) async fn get(port: u16, path: &str) -> io::Result<HttpResponse> {
    let limit = Duration::from_millis(EXCHANGE_MS_MAX);
    timeout(limit, exchange(port, path)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn exchange(port: u16, path: &str) -> io::Result<HttpResponse> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut seen = Vec::new();
    let mut limited = (&mut stream).take(MESSAGE_BYTES_MAX as u64);
    limited.read_to_end(&mut seen).await?;
    if seen.is_empty() {
        return Err(io::Error::other(CLOSED));
    }
    let text = String::from_utf8_lossy(&seen);
    let bad = || io::Error::other("no whole answer");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    // Names of headers are written as each server likes.
    let length =
        |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
    let length = head.lines().find_map(length);
    if length != Some(body.len()) {
        return Err(bad());
    }
    Ok(HttpResponse { status, body: body.to_owned() })
}
