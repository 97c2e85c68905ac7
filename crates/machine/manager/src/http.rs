use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use keyroll_http::blocking::Connection;
use keyroll_http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use keyroll_http::{Method, Request, Response, bearer, secret_header};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

/// How much of an answer's body is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The longest address, bytes.
const URL_BYTES_MAX: usize = 2048;

/// An address that can be asked: plain HTTP at a numeric address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Url {
    /// Parses `http://127.0.0.1:8080/ready`. Names except `localhost` are refused: a name lookup has no deadline, and
    /// its result may change.
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

    /// One GET. `Err` says why there was no answer.
    pub(crate) fn get(&self, deadline: Instant) -> Result<Response, String> {
        self.get_as(None, deadline)
    }

    /// The same with a bearer token. The token is sent only to this machine: on the network it could be read.
    pub(crate) fn get_as(&self, token: Option<&SecretBytes>, deadline: Instant) -> Result<Response, String> {
        let request = Request::get(self.host.clone(), self.path.clone());
        self.send(request, token.map(|token| (AUTHORIZATION, bearer(token))), deadline)
    }

    /// One POST of JSON with a bearer token and one more header.
    pub(crate) fn post_as(
        &self,
        token: &SecretBytes,
        header: (HeaderName, HeaderValue),
        json: Vec<u8>,
        deadline: Instant,
    ) -> Result<Response, String> {
        let mut request = self.post(json);
        request.headers.push(header);
        self.send(request, Some((AUTHORIZATION, bearer(token))), deadline)
    }

    /// One POST of JSON with a key in a header of its own. As a token, the key is sent only to this machine.
    pub(crate) fn post_with_key(
        &self,
        name: HeaderName,
        key: Option<&SecretBytes>,
        json: Vec<u8>,
        deadline: Instant,
    ) -> Result<Response, String> {
        let value = |key: &SecretBytes| secret_header(Zeroizing::new(key.expose().to_vec()));
        self.send(self.post(json), key.map(|key| (name, value(key))), deadline)
    }

    fn post(&self, json: Vec<u8>) -> Request {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let get = Request::get(self.host.clone(), self.path.clone());
        Request { method: Method::POST, headers, body: Zeroizing::new(json), ..get }
    }

    /// Sends a request. `secret` is the header with the token; its value is `None` where no header can carry the token.
    fn send(
        &self,
        mut request: Request,
        secret: Option<(HeaderName, Option<HeaderValue>)>,
        deadline: Instant,
    ) -> Result<Response, String> {
        if let Some((name, token)) = secret {
            if !self.address.ip().is_loopback() {
                return Err("a token is sent to loopback only".to_owned());
            }
            let token = token.ok_or("the token has characters that an HTTP header cannot contain")?;
            request.headers.push((name, token));
        }
        let connection = Connection::open(self.address, deadline);
        connection.and_then(|it| it.send(request, ANSWER_BYTES_MAX)).map_err(|error| error.to_string())
    }
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
}
