//! One request to the proxy, on a new connection: nothing is sent before it is known which worker took the connection.

use std::net::SocketAddr;
use std::time::Instant;

use keyroll_http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use keyroll_http::{Method, Request, Response, bearer, blocking};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

/// How much of an answer's body is read, bytes; only its head counts.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where the proxy answers, and the key that it requires.
pub struct ProxyEndpoint {
    /// Its address; loopback.
    pub address: SocketAddr,
    /// The proxy's own key, where it has one.
    pub key: Option<SecretBytes>,
}

/// One request.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
}

/// A connection on which nothing was sent yet.
pub(super) struct Connection(blocking::Connection);

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProxyResponse {
    pub(super) status: u16,
    /// The id of the deployment that answered.
    pub(super) model_id: Option<String>,
    /// How often another model was asked instead of the requested one.
    pub(super) fallbacks: u32,
    /// The proxy's release.
    pub(super) version: Option<String>,
    /// The beginning of the body, to distinguish refusals; it is never shown.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects. `Err` says in words why it could not.
    pub(super) fn open(door: &ProxyEndpoint, deadline: Instant) -> Result<Self, String> {
        if !door.address.ip().is_loopback() {
            return Err("its key is sent to loopback only".to_owned());
        }
        let connection = blocking::Connection::open(door.address, deadline);
        connection.map(Self).map_err(|error| error.to_string())
    }

    /// This end of the connection.
    pub(super) fn local(&self) -> SocketAddr {
        self.0.local()
    }

    /// Sends the request and reads the answer.
    pub(super) fn send(self, door: &ProxyEndpoint, question: &Question<'_>) -> Result<ProxyResponse, String> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(key) = &door.key {
            headers.push((
                AUTHORIZATION,
                bearer(key).ok_or("its key has characters that an HTTP header cannot contain")?,
            ));
        }
        let get = Request::get(door.address.to_string(), question.path.to_owned());
        let body = Zeroizing::new(question.body.to_vec());
        let request = Request { method: question.method.clone(), headers, body, ..get };
        let response = self.0.send(request, ANSWER_BYTES_MAX);
        response.map(|response| ProxyResponse::of(&response)).map_err(|error| error.to_string())
    }
}

impl ProxyResponse {
    fn of(response: &Response) -> Self {
        let header = |name: &str| response.header(name).map(|text| text.trim().to_owned());
        Self {
            status: response.status,
            model_id: header("x-litellm-model-id").filter(|id| !id.is_empty()),
            fallbacks: header("x-litellm-attempted-fallbacks")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            version: header("x-litellm-version"),
            body: response.body.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyroll_http::header::HeaderName;

    use super::*;

    #[test]
    fn the_head_of_an_answer_says_who_answered() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            ProxyResponse::of(&Response {
                status: 200,
                headers: headers.collect(),
                body: Zeroizing::new(b"{}".to_vec()),
            })
        };
        let answer = of(&[("x-litellm-model-id", "abc"), ("x-litellm-attempted-fallbacks", "1")]);
        assert_eq!((answer.status, answer.fallbacks), (200, 1));
        assert_eq!(answer.model_id.as_deref(), Some("abc"));
        assert_eq!(answer.body, b"{}");
        let none = of(&[("x-litellm-model-id", "")]);
        assert_eq!((none.model_id, none.fallbacks), (None, 0));
    }

    #[test]
    fn nothing_is_sent_to_another_machine() {
        let door = ProxyEndpoint { address: "192.0.2.1:4000".parse().unwrap(), key: None };
        let refused = Connection::open(&door, Instant::now() + Duration::from_secs(1)).err();
        assert_eq!(refused.as_deref(), Some("its key is sent to loopback only"));
    }
}
