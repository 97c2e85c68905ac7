use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Version};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::HttpError;

/// One request. It may hold values, so it is never printed; its body is overwritten on drop.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, escaped.
    pub target: Zeroizing<String>,
    /// `host[:port]`, for the header `Host`.
    pub authority: String,
    /// The headers beside `Host`, `User-Agent`, `Connection` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty where there is none.
    pub body: Zeroizing<Vec<u8>>,
    /// Whether the response must come in one piece and end with the connection: the request is of HTTP/1.0.
    pub in_one_piece: bool,
}

impl Request {
    /// A GET without a header.
    pub fn get(authority: String, target: String) -> Self {
        let (headers, body) = (Vec::new(), Zeroizing::default());
        Self {
            method: Method::GET,
            target: Zeroizing::new(target),
            authority,
            headers,
            body,
            in_one_piece: false,
        }
    }

    pub(crate) fn assemble(self) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
        let version = if self.in_one_piece { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut builder = hyper::Request::builder()
            .method(self.method)
            .version(version)
            .uri(self.target.as_str())
            .header(HOST, self.authority)
            .header(USER_AGENT, concat!("keyroll/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        // The builder's own error would repeat the path, which may hold a value.
        let body = Full::new(Bytes::from_owner(self.body));
        builder.body(body).map_err(|_| HttpError::NotSent("the request is no valid HTTP".to_owned()))
    }
}

/// A header's value that is never printed and is overwritten on drop; `None` where it has a byte that no header can
/// carry.
pub fn secret_header(value: Zeroizing<Vec<u8>>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Bearer TOKEN`, for the header `Authorization`; as [`secret_header`].
pub fn bearer(token: &SecretBytes) -> Option<HeaderValue> {
    secret_header(joined(&[b"Bearer ", token.expose()]))
}

/// `Basic …`, for the header `Authorization`; `None` where the user's name has a colon.
pub fn basic(user: &str, password: &[u8]) -> Option<HeaderValue> {
    if user.contains(':') {
        return None;
    }
    let pair = joined(&[user.as_bytes(), b":", password]);
    let encoded = Zeroizing::new(BASE64.encode(&*pair));
    secret_header(joined(&[b"Basic ", encoded.as_bytes()]))
}

/// Appends bytes as a part of a path or of a query: all but the unreserved characters of RFC 3986 are escaped.
pub fn percent_encode(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The parts in one buffer of the full size: a buffer that grows leaves a copy of a secret in memory.
pub fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        all.extend_from_slice(part);
    }
    all
}

/// A value in base64, in a buffer of the full size as well.
pub fn base64_text(value: &SecretBytes) -> Zeroizing<String> {
    let len = base64::encoded_len(value.len(), true).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(len));
    BASE64.encode_string(value.expose(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_headers_that_are_not_printed() {
        let token = SecretBytes::from("s3cret".to_owned());
        let value = bearer(&token).unwrap();
        assert_eq!(value.as_bytes(), b"Bearer s3cret");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(basic("ada", b"a:b").unwrap().as_bytes(), b"Basic YWRhOmE6Yg==");
        assert!(basic("a:da", b"b").is_none());
        assert!(bearer(&SecretBytes::from("a\r\nx: y".to_owned())).is_none());
    }

    #[test]
    fn every_text_is_one_part_of_a_path() {
        let mut out = String::new();
        percent_encode(&mut out, "127.0.0.1:5 -> x?é/~".as_bytes());
        assert_eq!(out, "127.0.0.1%3A5%20-%3E%20x%3F%C3%A9%2F~");
        out.clear();
        percent_encode(&mut out, b"sum(rate(a[1m])) > 0");
        assert_eq!(out, "sum%28rate%28a%5B1m%5D%29%29%20%3E%200");
    }

    #[test]
    fn a_request_that_is_no_http_is_refused_without_a_part_of_it() {
        let refused = Request::get("127.0.0.1".to_owned(), "/ canary".to_owned()).assemble().err();
        assert_eq!(refused, Some(HttpError::NotSent("the request is no valid HTTP".to_owned())));
    }
}
