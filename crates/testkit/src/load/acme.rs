//! The issuer of this crate as the server of a service under load.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::backend::{Backend, CONNECT_MS_MAX, Connection, Refusal};

/// The longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16_384;

/// The issuer of this crate, called over HTTP by a worker of this name.
#[derive(Clone)]
pub(super) struct Acme {
    name: String,
    key: Zeroizing<String>,
    place: String,
}

impl Acme {
    pub(super) fn of(url: &str) -> Option<Self> {
        let (login, place) = url.strip_prefix("acme://")?.split_once('@')?;
        let (name, key) = login.split_once(':')?;
        Some(Self { name: name.to_owned(), key: Zeroizing::new(key.to_owned()), place: place.to_owned() })
    }
}

/// A connection that stays, and whether it has failed.
struct AcmeConnection {
    of: Acme,
    stream: TcpStream,
    broken: bool,
}

#[async_trait]
impl Backend for Acme {
    fn user(&self) -> String {
        self.name.clone()
    }

    /// With one call, as a login is one: the issuer knows from here on whose the connection is.
    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let stream = TcpStream::connect(&self.place).await?;
        let mut connection = AcmeConnection { of: self.clone(), stream, broken: false };
        connection.ask().await?;
        Ok(Box::new(connection))
    }
}

#[async_trait]
impl Connection for AcmeConnection {
    fn is_closed(&self) -> bool {
        self.broken
    }

    async fn ask(&mut self) -> Result<String, Refusal> {
        self.broken = true;
        let status = timeout(Duration::from_millis(CONNECT_MS_MAX), self.call()).await??;
        self.broken = false;
        if status == 200 {
            Ok(self.of.name.clone())
        } else {
            Err(format!("it was refused ({status})").into())
        }
    }
}

impl AcmeConnection {
    async fn call(&mut self) -> Result<u16, Refusal> {
        let Acme { name, key, .. } = &self.of;
        let request = Zeroizing::new(format!(
            "GET /v1/me HTTP/1.1\r\nHost: acme\r\nX-Worker: {name}\r\nAuthorization: Bearer {}\r\n\r\n",
            key.as_str()
        ));
        self.stream.write_all(request.as_bytes()).await?;
        let mut seen = Vec::new();
        loop {
            let mut part = [0; 1024];
            let count = self.stream.read(&mut part).await?;
            seen.extend(part.iter().take(count));
            let text = String::from_utf8_lossy(&seen);
            if count == 0 || seen.len() > ANSWER_BYTES_MAX {
                return Err("no whole answer".into());
            }
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
            let length = lines.find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| body.len() >= length) {
                return status.ok_or_else(|| "an answer without a status".into());
            }
        }
    }
}
