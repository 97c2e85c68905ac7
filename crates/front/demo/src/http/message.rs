use keyroll_secret::SecretBytes;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{HEADERS_MAX, MESSAGE_BYTES_MAX};

/// A request as a part of the demo receives it.
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path without its query.
    pub(crate) path: String,
    /// What follows the `?`.
    pub(crate) query: String,
    /// The value after `Authorization: Bearer`.
    pub(crate) bearer: Option<SecretBytes>,
    /// `x-caller`: the worker that calls, by its own statement.
    pub(crate) caller: Option<String>,
    /// `x-in-flight`: how many requests of the asking front this worker has not answered yet.
    pub(crate) in_flight: Option<u64>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why a request could not be read, and the status that says so.
pub(crate) struct Unreadable(pub(crate) u16);

impl Request {
    /// Reads one request from the front of `bytes`, with its length; `None` while it is not all there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let head_length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Unreadable(400)),
        };
        let header = |name: &str| {
            head.headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        if header("transfer-encoding").is_some() {
            return Err(Unreadable(501));
        }
        let text = |name: &str| header(name).and_then(|value| std::str::from_utf8(value).ok());
        let body_length = match text("content-length") {
            Some(length) => length.trim().parse::<usize>().map_err(|_| Unreadable(400))?,
            None => 0,
        };
        let length = head_length.saturating_add(body_length);
        if length > MESSAGE_BYTES_MAX {
            return Err(Unreadable(413));
        }
        let Some(body) = bytes.get(head_length..length) else { return Ok(None) };
        let target = head.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let bearer = header("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
        let request = Self {
            method: head.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            bearer: bearer.map(|value| SecretBytes::new(value.to_vec())),
            caller: text("x-caller").map(str::to_owned),
            in_flight: text("x-in-flight").and_then(|count| count.parse().ok()),
            body: Zeroizing::new(body.to_vec()),
        };
        Ok(Some((request, length)))
    }

    /// One parameter of the query, not decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    }
}

/// An answer: a status and a JSON body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// An answer with a JSON body that holds no secret.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self { status, body: Zeroizing::new(body) },
            Err(_) => Self { status: 500, body: Zeroizing::new(Vec::new()) },
        }
    }

    /// An answer with an error's code: `{"error": {"code": …}}`.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": { "code": code } }))
    }

    /// The bytes of the answer, head and body, built in one buffer of the full size.
    pub(crate) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let head = format!(
            "HTTP/1.1 {} {}\r\ndate: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.status,
            reason(self.status),
            date(),
            self.body.len()
        );
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + self.body.len()));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads one answer from the front of `bytes`, with its length; `None` while it is not all there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let head_length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("an answer that is not HTTP"),
        };
        let length = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
            .ok_or("an answer without its length")?;
        let length = head_length.saturating_add(length);
        if length > MESSAGE_BYTES_MAX {
            return Err("an answer longer than the buffer");
        }
        let Some(body) = bytes.get(head_length..length) else { return Ok(None) };
        let status = head.code.unwrap_or_default();
        Ok(Some((Self { status, body: Zeroizing::new(body.to_vec()) }, length)))
    }
}

/// The time as RFC 9110 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_once_it_is_all_there() {
        let bytes =
            b"POST /v1/infer?a=b&n=7 HTTP/1.1\r\nAuthorization: Bearer abc\r\ncontent-length: 2\r\n\r\n{}GET";
        assert!(Request::parse(&bytes[..bytes.len() - 4]).ok().unwrap().is_none());
        let (request, length) = Request::parse(bytes).ok().unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/infer"));
        assert_eq!(request.parameter("n"), Some("7"));
        assert_eq!(request.bearer.unwrap().expose(), b"abc");
        assert_eq!(length, bytes.len() - 3);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (bytes, status) in [
            (&b"nonsense\r\n\r\n"[..], 400),
            (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 501),
            (b"GET / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
            (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        ] {
            assert_eq!(Request::parse(bytes).err().unwrap().0, status);
        }
    }

    #[test]
    fn an_answer_survives_its_own_bytes() {
        let bytes = Response::error(401, "invalid_key").bytes();
        let (response, length) = Response::parse(&bytes).unwrap().unwrap();
        assert_eq!((response.status, length), (401, bytes.len()));
        assert_eq!(&response.body[..], br#"{"error":{"code":"invalid_key"}}"#);
    }
}
