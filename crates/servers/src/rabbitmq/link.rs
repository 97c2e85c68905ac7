use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::codes;
use crate::stream::Tls;

/// The largest answer: the list of 50,000 channels, with the few columns that are asked for.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of a server's words is shown, letters.
const SAID_MAX: usize = 200;
/// Passing: a time-out, too many requests.
const PASSING: [u16; 2] = [408, 429];
const NOT_FOUND: u16 = 404;
const UNAUTHORISED: u16 = 401;
const FORBIDDEN: u16 = 403;

/// The management API as the admin, with one time limit for all that is asked. Each request is a connection of its own.
pub(super) struct Link<'a> {
    tls: &'a Tls,
    place: (&'a str, u16),
    login: HeaderValue,
    deadline: Instant,
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// There was no connection: surely no effect.
    Unsent(String),
    /// The time limit passed, the connection failed, or what came was no answer.
    Lost(String),
    /// The server refused, by its own status and words.
    Said(u16, String),
}

impl<'a> Link<'a> {
    pub(super) fn new(
        tls: &'a Tls,
        place: (&'a str, u16),
        admin: (&str, &SecretBytes),
        limit_ms: u64,
    ) -> Self {
        let (user, password) = (admin.0.as_bytes(), admin.1.expose());
        let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 1));
        for part in [user, b":", password] {
            pair.extend_from_slice(part);
        }
        let text = Zeroizing::new(format!("Basic {}", Zeroizing::new(BASE64.encode(&*pair)).as_str()));
        // Base64 is always a header's value.
        let mut login = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        login.set_sensitive(true);
        Self { tls, place, login, deadline: Instant::now() + Duration::from_millis(limit_ms) }
    }

    /// What stands at a path of the API.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let body = self.ask(Method::GET, path, None).await?;
        serde_json::from_slice(&body)
            .map_err(|_| Fault::Lost("the answer is not the management API's".to_owned()))
    }

    /// Puts this there.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), Fault> {
        let body = serde_json::to_vec(body).map_err(|error| Fault::Unsent(error.to_string()))?;
        self.ask(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// Removes what stands there; whether there was something.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, Fault> {
        match self.ask(Method::DELETE, path, None).await {
            Ok(_) => Ok(true),
            Err(Fault::Said(NOT_FOUND, _)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        let late = || "no answer in time".to_owned();
        let connecting = self.tls.connect(self.place.0, self.place.1);
        let stream = within(self.deadline, connecting).await.ok_or_else(|| Fault::Unsent(late()))?;
        let (stream, _) = stream.map_err(|error| Fault::Unsent(error.to_string()))?;
        let shaken = within(self.deadline, http1::handshake(TokioIo::new(stream))).await;
        let (mut sender, connection) = shaken
            .ok_or_else(|| Fault::Unsent(late()))?
            .map_err(|_| Fault::Unsent("the connection closed".to_owned()))?;
        let request = self.request(method, path, body)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(lost)?;
            let (head, mut incoming) = response.into_parts();
            let mut bytes = Vec::new();
            while let Some(frame) = incoming.frame().await {
                let frame = frame.map_err(lost)?;
                let Some(data) = frame.data_ref() else { continue };
                if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                    return Err(Fault::Lost(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
                }
                bytes.extend_from_slice(data);
            }
            match head.status.as_u16() {
                200..=299 => Ok(bytes),
                status => Err(Fault::Said(status, words(&bytes))),
            }
        };
        tokio::pin!(answer);
        let whole = async {
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                // The connection may end first, with the answer still in its channel.
                _ = connection => answer.await,
            }
        };
        within(self.deadline, whole).await.unwrap_or_else(|| Err(Fault::Lost(late())))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, Fault> {
        let host = match self.place.0.contains(':') {
            true => format!("[{}]:{}", self.place.0, self.place.1),
            false => format!("{}:{}", self.place.0, self.place.1),
        };
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, "keyroll")
            // Some requests that change something are refused to who accepts JSON alone.
            .header(ACCEPT, "*/*")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .header(AUTHORIZATION, self.login.clone())
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|_| Fault::Unsent("the request is no valid HTTP".to_owned()))
    }
}

async fn within<T>(deadline: Instant, doing: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, doing).await.ok()
}

fn lost(error: hyper::Error) -> Fault {
    let why = if error.is_parse() { "an answer that is no HTTP" } else { "the connection was lost" };
    Fault::Lost(why.to_owned())
}

/// `{"error": "not_authorised", "reason": "Login failed"}`, as one clause. It names users and virtual hosts.
fn words(body: &[u8]) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let part = |key: &str| said.get(key).and_then(Value::as_str);
    let text = part("reason").or_else(|| part("error")).unwrap_or_default();
    text.chars().filter(|letter| !letter.is_control()).take(SAID_MAX).collect()
}

/// A part of a path, whatever it contains: the virtual host `/` too.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

impl Fault {
    /// What became known, without any secret.
    fn reason(&self) -> String {
        match self {
            Self::Unsent(why) | Self::Lost(why) => why.clone(),
            Self::Said(status, words) if words.is_empty() => format!("HTTP {status}"),
            Self::Said(status, words) => format!("{words} (HTTP {status})"),
        }
    }

    fn is_final(&self) -> bool {
        matches!(self, Self::Said(status, _) if (400..500).contains(status) && !PASSING.contains(status))
    }

    /// `Not management user`, `Not administrator user`; the login itself is refused by `Login failed`.
    fn is_lacking(&self) -> bool {
        match self {
            Self::Said(UNAUTHORISED, words) => words.starts_with("Not "),
            Self::Said(status, _) => *status == FORBIDDEN,
            Self::Unsent(_) | Self::Lost(_) => false,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            _ if self.is_lacking() => codes::RIGHTS,
            Self::Unsent(_) | Self::Said(UNAUTHORISED, _) => codes::CONNECT,
            Self::Lost(_) | Self::Said(..) => codes::COMMAND,
        }
    }

    /// A request failed that changes nothing.
    pub(super) fn without_effect(&self, attempted: String) -> Failure {
        let class = if self.is_final() { Class::Permanent } else { Class::Retryable };
        let failure = Failure::new(class, self.code(), attempted).because(self.reason());
        match self.code() {
            codes::RIGHTS => failure.help("give the admin the tag `administrator`"),
            codes::CONNECT => failure.help("keyroll doctor"),
            _ => failure,
        }
    }

    /// A request failed after another one that changed something: whatever it is, that may stand.
    pub(super) fn after_effect(&self, attempted: String) -> Failure {
        Failure { class: Class::Unknown, ..self.without_effect(attempted) }
    }

    /// A request failed that changes something: without an answer, or with a server's own error, it may have.
    pub(super) fn of_effect(&self, attempted: String) -> Failure {
        let unclear = matches!(self, Self::Lost(_)) || (matches!(self, Self::Said(..)) && !self.is_final());
        match unclear {
            true => Failure::new(Class::Unknown, codes::COMMAND, attempted).because(self.reason()),
            false => self.without_effect(attempted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_for_good_is_believed() {
        let class = |fault: &Fault| {
            let [read, effect] =
                [fault.without_effect("read".to_owned()), fault.of_effect("change".to_owned())];
            (read.class, effect.class, effect.code)
        };
        let said = |status, words: &str| Fault::Said(status, words.to_owned());
        let permanent = |code| (Class::Permanent, Class::Permanent, code);
        assert_eq!(class(&said(401, "Login failed")), permanent("K0141"));
        assert_eq!(class(&said(401, "Not administrator user")), permanent("K0142"));
        assert_eq!(class(&said(400, "bad_request")), permanent("K0147"));
        for fault in [said(503, ""), said(429, ""), said(302, ""), Fault::Lost("gone".to_owned())] {
            assert_eq!(class(&fault), (Class::Retryable, Class::Unknown, "K0147"), "{fault:?}");
        }
        for fault in [said(401, "Login failed"), said(503, ""), Fault::Unsent("refused".to_owned())] {
            assert_eq!(fault.after_effect("read".to_owned()).class, Class::Unknown, "{fault:?}");
        }
        let unsent = Fault::Unsent("refused".to_owned());
        assert_eq!(class(&unsent), (Class::Retryable, Class::Retryable, "K0141"));
    }

    #[test]
    fn every_name_is_one_part_of_a_path() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("127.0.0.1:5 -> x?é"), "127.0.0.1%3A5%20-%3E%20x%3F%C3%A9");
    }
}
