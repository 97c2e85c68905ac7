use std::time::Duration;

use keyroll_codes::Code;
use keyroll_http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use keyroll_http::{
    Excess, HttpError, Limits, Method, Request, basic, exchange, percent_encode, strict_json,
};
use keyroll_port::{Class, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::endpoint::host_port;
use crate::options::Options;
use crate::stream::Tls;

/// The largest answer, bytes: a list of 50,000 channels with the few columns that are asked for.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of a server's message is shown, characters.
const SAID_MAX: usize = 200;
/// Statuses that pass: a time-out, too many requests.
const PASSING: [u16; 2] = [408, 429];
const NOT_FOUND: u16 = 404;
const UNAUTHORISED: u16 = 401;
const FORBIDDEN: u16 = 403;

/// The management API as the admin, with one time limit for all requests. Each request makes a connection of its own.
pub(super) struct Link<'a> {
    tls: &'a Tls,
    host: &'a str,
    port: u16,
    /// `None` if the admin's name cannot be put in a header.
    login: Option<HeaderValue>,
    deadline: Instant,
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) enum ManagementApiError {
    /// There was no connection, so certainly no effect.
    Unsent(String),
    /// The time limit passed, the connection failed, or the answer was not one.
    Lost(String),
    /// The server refused, by its own status and words.
    Said(u16, String),
}

impl<'a> Link<'a> {
    pub(super) fn new(tls: &'a Tls, options: &'a Options, management_port: u16, limit_ms: u64) -> Self {
        let login = basic(&options.admin.user, options.admin.password.expose());
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        Self { tls, host: &options.host, port: management_port, login, deadline }
    }

    /// Reads the resource at a path of the API.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ManagementApiError> {
        let body = self.ask(Method::GET, path, Zeroizing::default()).await?;
        read(&body)
    }

    /// Writes the resource at a path of the API.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), ManagementApiError> {
        let body = serde_json::to_vec(body).map_err(|error| ManagementApiError::Unsent(error.to_string()))?;
        self.ask(Method::PUT, path, Zeroizing::new(body)).await.map(drop)
    }

    /// Removes the resource at a path of the API. Returns whether there was one.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, ManagementApiError> {
        match self.ask(Method::DELETE, path, Zeroizing::default()).await {
            Ok(_) => Ok(true),
            Err(ManagementApiError::Said(NOT_FOUND, _)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, ManagementApiError> {
        let (host, port) = (self.host, self.port);
        let login = self.login.clone();
        let login =
            login.ok_or_else(|| ManagementApiError::Unsent("the admin's name has a colon".to_owned()))?;
        let headers = vec![
            // RabbitMQ refuses some changes from a client that accepts only JSON.
            (ACCEPT, HeaderValue::from_static("*/*")),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (AUTHORIZATION, login),
        ];
        let target = Zeroizing::new(path.to_owned());
        let request =
            Request { method, target, authority: host_port(host, port), headers, body, in_one_piece: false };
        let limits = Limits {
            time: self.deadline.saturating_duration_since(Instant::now()),
            body_bytes_max: ANSWER_BYTES_MAX,
            excess: Excess::Refuse,
        };
        let connecting = async {
            let connected = self.tls.connect(host, port).await;
            connected.map(|(stream, _)| stream).map_err(|error| HttpError::NotSent(error.to_string()))
        };
        let response =
            exchange(connecting, request, &limits).await.map_err(ManagementApiError::unanswered)?;
        match response.status {
            200..=299 => Ok(response.body),
            status => Err(ManagementApiError::Said(status, words(&response.body))),
        }
    }
}

/// An answer of the management API.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ManagementApiError> {
    strict_json::read(body).map_err(|defect| {
        ManagementApiError::Lost(format!("the answer is not the management API's: {defect}"))
    })
}

/// `{"error": "not_authorised", "reason": "Login failed"}`, as one clause. It names users and virtual hosts.
fn words(body: &[u8]) -> String {
    let said: Value = strict_json::read(body).unwrap_or_default();
    let part = |key: &str| said.get(key).and_then(Value::as_str);
    let text = part("reason").or_else(|| part("error")).unwrap_or_default();
    text.chars().filter(|letter| !letter.is_control()).take(SAID_MAX).collect()
}

/// One segment of a path, escaped, whatever it contains (the virtual host `/` too).
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    percent_encode(&mut escaped, text.as_bytes());
    escaped
}

impl ManagementApiError {
    fn unanswered(error: HttpError) -> Self {
        match error {
            HttpError::NotSent(why) => Self::Unsent(why),
            HttpError::NoRoots | HttpError::TimedOut { sent: false } => Self::Unsent(error.to_string()),
            HttpError::TimedOut { sent: true } => Self::Lost(error.to_string()),
            HttpError::Lost(why) => Self::Lost(why),
        }
    }

    /// The reason, for messages, without any secret.
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

    fn code(&self) -> Code {
        match self {
            _ if self.is_lacking() => Code::AdminRefused,
            Self::Unsent(_) | Self::Said(UNAUTHORISED, _) => Code::IssuerUnreachable,
            Self::Lost(_) | Self::Said(..) => Code::RequestFailed,
        }
    }

    /// A request that changes nothing failed.
    pub(super) fn without_effect(&self, attempted: String) -> Failure {
        let class = if self.is_final() { Class::Permanent } else { Class::Retryable };
        let failure = Failure::new(class, self.code(), attempted).because(self.reason());
        match self {
            _ if self.is_lacking() => failure.help("give the admin the tag `administrator`"),
            Self::Unsent(_) | Self::Said(UNAUTHORISED, _) => failure.help("keyroll doctor"),
            Self::Lost(_) | Self::Said(..) => failure,
        }
    }

    /// A request failed after another one that changed something: that change may remain.
    pub(super) fn after_effect(&self, attempted: String) -> Failure {
        Failure { class: Class::Unknown, ..self.without_effect(attempted) }
    }

    /// A request that changes something failed. If no answer came, or a server error, the change may have happened.
    pub(super) fn of_effect(&self, attempted: String) -> Failure {
        let unclear = matches!(self, Self::Lost(_)) || (matches!(self, Self::Said(..)) && !self.is_final());
        match unclear {
            true => Failure::new(Class::Unknown, Code::RequestFailed, attempted).because(self.reason()),
            false => self.without_effect(attempted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_for_good_is_believed() {
        let class = |fault: &ManagementApiError| {
            let [read, effect] =
                [fault.without_effect("read".to_owned()), fault.of_effect("change".to_owned())];
            (read.class, effect.class, effect.code)
        };
        let said = |status, words: &str| ManagementApiError::Said(status, words.to_owned());
        let permanent = |code| (Class::Permanent, Class::Permanent, code);
        assert_eq!(class(&said(401, "Login failed")), permanent(Code::IssuerUnreachable));
        assert_eq!(class(&said(401, "Not administrator user")), permanent(Code::AdminRefused));
        assert_eq!(class(&said(400, "bad_request")), permanent(Code::RequestFailed));
        for fault in
            [said(503, ""), said(429, ""), said(302, ""), ManagementApiError::Lost("gone".to_owned())]
        {
            assert_eq!(class(&fault), (Class::Retryable, Class::Unknown, Code::RequestFailed), "{fault:?}");
        }
        for fault in
            [said(401, "Login failed"), said(503, ""), ManagementApiError::Unsent("refused".to_owned())]
        {
            assert_eq!(fault.after_effect("read".to_owned()).class, Class::Unknown, "{fault:?}");
        }
        let unsent = ManagementApiError::Unsent("refused".to_owned());
        assert_eq!(class(&unsent), (Class::Retryable, Class::Retryable, Code::IssuerUnreachable));
    }

    #[test]
    fn an_answer_with_a_key_twice_is_not_believed() {
        let read = |text: &str| read::<Vec<Value>>(text.as_bytes());
        assert_eq!(read(r#"[{"name":"a"},{"name":"b"}]"#).unwrap().len(), 2);
        let fault = read(r#"[{"name":"a"},{"name":"b","tags":[],"name":"c"}]"#).unwrap_err();
        assert_eq!(fault.of_effect("change".to_owned()).class, Class::Unknown);
        assert!(fault.reason().ends_with("the key \"name\" twice in one object, at /1/name"), "{fault:?}");
        assert_eq!(words(br#"{"reason":"Not management user","reason":"Login failed"}"#), "");
    }

    #[test]
    fn every_name_is_one_part_of_a_path() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("127.0.0.1:5 -> x?é"), "127.0.0.1%3A5%20-%3E%20x%3F%C3%A9");
    }
}
