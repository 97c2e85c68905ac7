//! One connection that stays open, and what is answered on it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(180);

/// The largest answer, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What is read at once, bytes.
const PIECE_BYTES: usize = 16 << 10;

/// Room for the lines of a request that are not given, bytes.
const LINES_BYTES: usize = 256;

/// A connection.
pub struct Client {
    stream: TcpStream,
    host: String,
}

/// An answer. It is not overwritten: the server never answers with a value.
pub struct Answer {
    pub code: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    /// Connects to a port of the loopback address.
    pub fn to(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Self { stream, host: format!("127.0.0.1:{port}") })
    }

    /// Sends a request and reads its answer. `headers`: whole lines in any number of pieces, so that nobody joins a
    /// secret with the name of its header. The request is overwritten afterwards: keyroll searches the memory of this
    /// process too.
    pub fn send(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
        let length = body.len().to_string();
        let first =
            [method, " ", path, " HTTP/1.1\r\nHost: ", &self.host, "\r\nContent-Length: ", &length, "\r\n"];
        let given: usize = headers.iter().map(|piece| piece.len()).sum();
        let room = LINES_BYTES + path.len() + given + body.len();
        let mut request = Zeroizing::new(Vec::<u8>::with_capacity(room));
        for piece in first.iter().chain(headers).chain(&["\r\n"]) {
            request.extend_from_slice(piece.as_bytes());
        }
        request.extend_from_slice(body);
        assert!(request.len() <= room, "a request that grew leaves a copy behind");
        self.stream.write_all(&request)?;
        // Before the answer: what the request begins may search this process.
        drop(request);
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut got = Vec::new();
        let mut piece = [0; PIECE_BYTES];
        loop {
            if let Some(answer) = whole(&got)? {
                return Ok(answer);
            }
            let count = self.stream.read(&mut piece)?;
            if count == 0 || got.len() > ANSWER_BYTES_MAX {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            got.extend_from_slice(&piece[..count]);
        }
    }
}

/// The answer, once all of it is there.
fn whole(got: &[u8]) -> io::Result<Option<Answer>> {
    let end = b"\r\n\r\n";
    let Some(at) = got.windows(end.len()).position(|four| four == end) else { return Ok(None) };
    let head = String::from_utf8_lossy(&got[..at]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (Some(code), Some(length)) = (code, length) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let body = got[at + end.len()..].get(..length);
    Ok(body.map(|body| Answer { code, body: body.to_vec() }))
}
