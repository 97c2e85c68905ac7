use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use keyroll_secret::SecretBytes;

/// How much of an answer is read, bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The longest address, bytes.
const URL_BYTES_MAX: usize = 2048;

/// An address that can be asked: plain HTTP at a numeric address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    address: SocketAddr,
    host: String,
    path: String,
}

/// The status and the beginning of the body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Url {
    /// `http://127.0.0.1:8080/ready`. Names but `localhost` are refused: looking one up has no deadline, and may lead
    /// elsewhere tomorrow.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
        if url.len() > URL_BYTES_MAX || !printable {
            return Err("it is too long, or holds spaces or other characters that a URL may not hold");
        }
        let rest = url.strip_prefix("http://").ok_or("only http:// is supported")?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if host.contains('@') {
            return Err("it holds a user or password");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let address = Self::address(host).ok_or("the host must be a numeric address or localhost")?;
        Ok(Self { address, host: host.to_owned(), path: format!("{slash}{path}") })
    }

    fn address(host: &str) -> Option<SocketAddr> {
        if let Ok(address) = host.parse::<SocketAddr>() {
            return Some(address);
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(SocketAddr::new(ip, 80));
        }
        let port = match host.split_once(':') {
            Some(("localhost", port)) => port.parse().ok()?,
            None if host == "localhost" => 80,
            Some(_) | None => return None,
        };
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// One GET, never redirected. `Err` says in words why there was no answer.
    pub(crate) fn get(&self, deadline: Instant) -> Result<Answer, String> {
        self.get_as(None, deadline)
    }

    /// The same with a bearer token, which is sent to this machine only: it would be read on the way.
    pub(crate) fn get_as(&self, token: Option<&SecretBytes>, deadline: Instant) -> Result<Answer, String> {
        self.ask("GET", "", token, b"", deadline)
    }

    /// One POST of JSON, with more lines of the head, each ended by CR and LF.
    pub(crate) fn post_as(
        &self,
        token: Option<&SecretBytes>,
        lines: &str,
        json: &[u8],
        deadline: Instant,
    ) -> Result<Answer, String> {
        let length = json.len();
        let lines = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n{lines}");
        self.ask("POST", &lines, token, json, deadline)
    }

    fn ask(
        &self,
        method: &str,
        lines: &str,
        token: Option<&SecretBytes>,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Answer, String> {
        if token.is_some() && !self.address.ip().is_loopback() {
            return Err("a token is sent to loopback only".to_owned());
        }
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
        };
        let late = [std::io::ErrorKind::TimedOut, std::io::ErrorKind::WouldBlock];
        let told = |error: std::io::Error| {
            if late.contains(&error.kind()) { "no answer in time".to_owned() } else { error.to_string() }
        };
        let mut stream = TcpStream::connect_timeout(&self.address, left()?).map_err(told)?;
        stream.set_write_timeout(Some(left()?)).map_err(told)?;
        // Version 1.0: the answer then comes in one piece and ends with the connection.
        let request = format!(
            "{method} {} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n{lines}\r\n",
            self.path, self.host
        );
        let (line, rest) = request.split_at(request.len().saturating_sub(2));
        stream.write_all(line.as_bytes()).map_err(told)?;
        if let Some(token) = token {
            stream.write_all(b"Authorization: Bearer ").map_err(told)?;
            stream.write_all(token.expose()).map_err(told)?;
            stream.write_all(b"\r\n").map_err(told)?;
        }
        stream.write_all(rest.as_bytes()).map_err(told)?;
        stream.write_all(body).map_err(told)?;
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        while (bytes.len() as u64) < ANSWER_BYTES_MAX && !complete(&bytes) {
            // The limit counts for the whole answer, not for each piece of it.
            stream.set_read_timeout(Some(left()?.max(Duration::from_millis(1)))).map_err(told)?;
            match stream.read(&mut piece).map_err(told)? {
                0 => break,
                read => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
        parse_answer(&bytes).ok_or_else(|| "the answer is not HTTP".to_owned())
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Whether the length that the head announced has come: a server may hold the connection open.
fn complete(bytes: &[u8]) -> bool {
    let Some(end) = head_end(bytes) else { return false };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= end.saturating_add(4).saturating_add(length))
}

fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let end = head_end(bytes)?;
    let first = bytes.split(|&byte| byte == b'\r').next()?;
    let first = std::str::from_utf8(first).ok()?;
    let status = first.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: bytes.get(end + 4..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numeric_addresses_are_taken() {
        for (url, host, path) in [
            ("http://127.0.0.1:8080/ready?x=1", "127.0.0.1:8080", "/ready?x=1"),
            ("http://localhost", "localhost", "/"),
            ("http://[::1]:9/#a", "[::1]:9", "/"),
            ("http://10.0.0.7?q", "10.0.0.7", "/?q"),
        ] {
            let parsed = Url::parse(url).expect(url);
            assert_eq!((parsed.host.as_str(), parsed.path.as_str()), (host, path));
        }
        let refused =
            ["https://127.0.0.1/", "127.0.0.1", "http://example.org/", "http://u:p@127.0.0.1/", "http://"];
        for url in refused.into_iter().chain([
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\r\nX: y",
            "http://localhost:x/",
        ]) {
            assert!(Url::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_answer_is_read_or_refused() {
        let answer = parse_answer(b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\nbody").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (204, b"body".as_slice()));
        for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"hello\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"] {
            assert!(parse_answer(bytes).is_none());
        }
        assert!(complete(b"HTTP/1.0 200 OK\r\ncontent-LENGTH: 2\r\n\r\nab"));
        assert!(!complete(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nab"));
        assert!(!complete(b"HTTP/1.0 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nab"));
    }
}
