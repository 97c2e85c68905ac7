//! One request to the proxy, on a connection of its own: who took it is seen before anything is sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use keyroll_secret::SecretBytes;

/// How much of an answer is read, bytes; only its head counts.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How many header fields are read.
const FIELDS_MAX: usize = 96;

/// Where the proxy answers, and what it wants to see.
pub struct Door {
    /// Its address; loopback.
    pub address: SocketAddr,
    /// The proxy's own key, where it has one.
    pub key: Option<SecretBytes>,
}

/// A connection on which nothing was sent yet.
pub(super) struct Connection {
    stream: TcpStream,
    /// This end of it.
    pub(super) local: SocketAddr,
    deadline: Instant,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The id of the deployment that answered.
    pub(super) model_id: Option<String>,
    /// How often another model was asked in the place of the one that was meant.
    pub(super) fallbacks: u32,
    /// The proxy's release.
    pub(super) version: Option<String>,
    /// The beginning of the body, to tell one refusal from another; it is never shown.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects. `Err` says in words why not.
    pub(super) fn open(door: &Door, deadline: Instant) -> Result<Self, String> {
        if !door.address.ip().is_loopback() {
            return Err("its key is sent to loopback only".to_owned());
        }
        let stream = TcpStream::connect_timeout(&door.address, left(deadline)?).map_err(told)?;
        let local = stream.local_addr().map_err(told)?;
        Ok(Self { stream, local, deadline })
    }

    /// Sends a request and reads the answer's head; nothing is redirected or retried.
    pub(super) fn send(
        mut self,
        door: &Door,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, String> {
        self.stream.set_write_timeout(Some(left(self.deadline)?)).map_err(told)?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", door.address);
        self.stream.write_all(head.as_bytes()).map_err(told)?;
        if let Some(key) = &door.key {
            self.stream.write_all(b"Authorization: Bearer ").map_err(told)?;
            self.stream.write_all(key.expose()).map_err(told)?;
            self.stream.write_all(b"\r\n").map_err(told)?;
        }
        let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.write_all(length.as_bytes()).map_err(told)?;
        self.stream.write_all(body).map_err(told)?;
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
        while bytes.len() < ANSWER_BYTES_MAX {
            self.stream.set_read_timeout(Some(left(self.deadline)?)).map_err(told)?;
            match self.stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(told(error)),
            }
        }
        parse(&bytes).ok_or_else(|| "the answer is not HTTP".to_owned())
    }
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn told(error: std::io::Error) -> String {
    let late = [ErrorKind::TimedOut, ErrorKind::WouldBlock].contains(&error.kind());
    if late { "no answer in time".to_owned() } else { error.to_string() }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(bytes).ok()? else { return None };
    let field = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(|text| text.trim().to_owned())
    };
    Some(Answer {
        status: head.code?,
        model_id: field("x-litellm-model-id").filter(|id| !id.is_empty()),
        fallbacks: field("x-litellm-attempted-fallbacks").and_then(|text| text.parse().ok()).unwrap_or(0),
        version: field("x-litellm-version"),
        body: bytes.get(end..).unwrap_or_default().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_says_who_answered() {
        let text = "HTTP/1.1 200 OK\r\nX-LiteLLM-Model-Id: abc\r\nx-litellm-attempted-fallbacks: 1\r\n\r\n{}";
        let answer = parse(text.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.fallbacks), (200, 1));
        assert_eq!(answer.model_id.as_deref(), Some("abc"));
        assert_eq!(answer.body, b"{}");
        let none = parse(b"HTTP/1.1 400 Bad\r\nx-litellm-model-id: \r\n\r\n").unwrap();
        assert_eq!((none.model_id, none.fallbacks), (None, 0));
        for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nA: b\r\n", "hello\r\n\r\n"] {
            assert!(parse(cut.as_bytes()).is_none(), "{cut}");
        }
    }

    #[test]
    fn nothing_is_sent_to_another_machine() {
        let door = Door { address: "192.0.2.1:4000".parse().unwrap(), key: None };
        let refused = Connection::open(&door, Instant::now() + Duration::from_secs(1)).err();
        assert_eq!(refused.as_deref(), Some("its key is sent to loopback only"));
    }
}
