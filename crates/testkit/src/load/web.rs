use std::io;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::backend::{Backend, Connection, Refusal};

/// How long one call may take, milliseconds.
const CALL_MS_MAX: u64 = 10_000;
/// The longest answer that this understands, bytes.
const ANSWER_BYTES_MAX: usize = 65_536;

/// APIs: each call shows a key in a header. A session is a connection to each that stays open.
pub(super) struct Web(Vec<Call>);

/// One API's call.
#[derive(Clone)]
struct Call {
    port: u16,
    /// The whole request, the key in it.
    request: Zeroizing<String>,
}

/// Connections, and whether one has failed.
struct WebConnection {
    calls: Vec<(TcpStream, Call)>,
    failed: bool,
}

impl Web {
    /// Reads `web:`, and a line `PORT|PATH|NAME|HEADER|KEY` for each API: the header up to the key, or `basic:USER`.
    pub(super) fn read(url: &str) -> Option<Self> {
        url.strip_prefix("web:")?.lines().map(Call::read).collect::<Option<Vec<Call>>>().map(Self)
    }
}

impl Call {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(5, '|');
        let (port, path) = (parts.next()?.parse().ok()?, parts.next()?);
        let (name, header, key) = (parts.next()?, parts.next()?, parts.next()?);
        let header = Zeroizing::new(match header.strip_prefix("basic:") {
            Some(user) => {
                let pair = Zeroizing::new(format!("{user}:{key}"));
                format!("Authorization: Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes())))
            }
            None => format!("{header}{key}"),
        });
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: issuer\r\nX-Worker: {name}\r\n{}\r\n\r\n", *header);
        Some(Self { port, request: Zeroizing::new(request) })
    }
}

#[async_trait]
impl Backend for Web {
    fn user(&self) -> String {
        "its key".to_owned()
    }

    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let mut calls = Vec::new();
        for call in &self.0 {
            calls.push((TcpStream::connect(("127.0.0.1", call.port)).await?, call.clone()));
        }
        let mut connection = WebConnection { calls, failed: false };
        connection.ask().await?;
        Ok(Box::new(connection))
    }
}

#[async_trait]
impl Connection for WebConnection {
    fn is_closed(&self) -> bool {
        self.failed
    }

    async fn ask(&mut self) -> Result<String, Refusal> {
        self.failed = true;
        let mut said = String::new();
        for (stream, call) in &mut self.calls {
            said = timeout(Duration::from_millis(CALL_MS_MAX), call.made(stream)).await??;
            if said != "200" {
                return Err(format!("an issuer answered {said}").into());
            }
        }
        self.failed = false;
        Ok(said)
    }
}

impl Call {
    /// The status that it is answered with.
    async fn made(&self, stream: &mut TcpStream) -> io::Result<String> {
        stream.write_all(self.request.as_bytes()).await?;
        let mut seen = Vec::new();
        let bad = || io::Error::other("no whole answer");
        loop {
            let mut part = [0; 1024];
            let count = stream.read(&mut part).await?;
            seen.extend(part.iter().take(count));
            if count == 0 || seen.len() > ANSWER_BYTES_MAX {
                return Err(bad());
            }
            let text = String::from_utf8_lossy(&seen);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).ok_or_else(bad)? {
                return head.split(' ').nth(1).map(str::to_owned).ok_or_else(bad);
            }
        }
    }
}
