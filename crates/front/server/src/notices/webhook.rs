//! Notices over HTTP: a webhook in the form of Standard Webhooks, and Slack's incoming webhook. No redirect is followed, so a
//! notice goes only to the address in the file; and nothing of an answer but its status is used.

use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use axum::http::Uri;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyroll_app::wall_clock;
use keyroll_http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use keyroll_http::{
    Endpoint, Excess, HttpError, Limits, Method, Request, Response, connect, exchange, is_loopback,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::notice::{Notice, TIME_MAX, Undelivered, private_line};
use crate::signature::webhook_key;

/// How much of an answer is read, bytes: only its status counts.
const ANSWER_BYTES_MAX: usize = 1 << 10;
/// How much of the text Slack is sent, characters.
const SLACK_CHARS_MAX: usize = 1_000;

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
#[derive(Serialize)]
struct Payload<'n> {
    r#type: String,
    timestamp: &'n str,
    data: &'n Notice,
}

#[derive(Serialize)]
struct Slack {
    text: String,
}

/// The address of a receiver. It is never shown as a whole: whoever knows it can send there.
struct Address {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    target: Zeroizing<String>,
}

impl Address {
    fn of(path: &Path) -> Result<Self, Undelivered> {
        let text = private_line(path)?;
        Self::read(&text)
            .map_err(|why| Undelivered::Later(format!("the address in {} {why}", path.display())))
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is not valid")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("must begin with https://"),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user or a password, which keyroll does not send");
        }
        let (host, port) = (authority.host(), authority.port_u16());
        if host.is_empty() {
            return Err("names no host");
        }
        if port.is_none() && authority.as_str() != host {
            return Err("has a port that is no number");
        }
        let name = host.trim_matches(['[', ']']).to_owned();
        if !tls && !is_loopback(&name) {
            return Err("must begin with https:// unless it is on loopback");
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            tls,
            host: name,
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            target: Zeroizing::new(target.to_owned()),
        })
    }

    async fn post(self, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> Result<(), Undelivered> {
        let endpoint = Endpoint { host: &self.host, port: self.port, tls: self.tls };
        let request = Request {
            method: Method::POST,
            target: self.target,
            authority: self.authority.clone(),
            headers: [vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))], headers].concat(),
            body: Zeroizing::new(body),
            in_one_piece: false,
        };
        let limits = Limits { time: TIME_MAX, body_bytes_max: ANSWER_BYTES_MAX, excess: Excess::Cut };
        let local = OnceLock::new();
        judged(&self.authority, exchange(connect(endpoint, &local), request, &limits).await)
    }
}

/// Sends the notice as JSON, signed if there is a secret.
pub(super) async fn post(
    url: &Path,
    secret: Option<&Path>,
    id: &str,
    notice: &Notice,
) -> Result<(), Undelivered> {
    let address = Address::of(url)?;
    let payload = Payload { r#type: format!("keyroll.{}", notice.kind), timestamp: &notice.at, data: notice };
    // Texts alone always have a JSON form.
    let body = serde_json::to_vec(&payload).unwrap_or_default();
    // The time of this attempt: receivers refuse a message that is minutes old.
    let at_s = wall_clock::now().timestamp().as_second().to_string();
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", at_s.clone())];
    if let Some(path) = secret {
        let key = webhook_key(private_line(path)?.as_bytes(), path);
        let key = key.map_err(|problem| Undelivered::Later(problem.sentence()))?;
        headers.push(("webhook-signature", signature(&key, id, &at_s, &body)));
    }
    // Each value is ASCII that a header can carry.
    let headers = headers.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    address.post(headers.collect(), body).await
}

/// Sends the notice as a text in Slack's own markup.
pub(super) async fn slack(url: &Path, notice: &Notice) -> Result<(), Undelivered> {
    let address = Address::of(url)?;
    let body = serde_json::to_vec(&Slack { text: slack_text(notice) }).unwrap_or_default();
    address.post(Vec::new(), body).await
}

fn signature(key: &[u8], id: &str, at_s: &str, body: &[u8]) -> String {
    let signed = [id.as_bytes(), b".", at_s.as_bytes(), b".", body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

fn slack_text(notice: &Notice) -> String {
    let short: String = notice.text.chars().take(SLACK_CHARS_MAX).collect();
    let mut text = format!("*[keyroll] {}*\n{}", escaped(&notice.title()), escaped(&short));
    if let Some(owner) = &notice.owner {
        text += &format!("\nowner: {}", escaped(owner));
    }
    if let Some(next) = &notice.next {
        // A backtick would end the code.
        text += &format!("\n`{}`", escaped(&next.replace('`', "'")));
    }
    text
}

/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn judged(at: &str, outcome: Result<Response, HttpError>) -> Result<(), Undelivered> {
    let status = outcome.map_err(|error| Undelivered::Later(format!("{at}: {error}")))?.status;
    let said = |more: &str| format!("{at} answered with the status {status}{more}");
    match status {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Undelivered::Later(said(""))),
        300..=399 => Err(Undelivered::Never(said(", which leads elsewhere; keyroll does not follow it"))),
        _ => Err(Undelivered::Never(said(""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encrypted_or_on_this_machine() {
        for (text, host, port, target) in [
            ("https://hooks.example.org/a/b?c=d", "hooks.example.org", 443, "/a/b?c=d"),
            ("https://hooks.example.org:8443", "hooks.example.org", 8443, "/"),
            ("http://127.0.0.1:8080/x", "127.0.0.1", 8080, "/x"),
            ("http://[::1]/x", "::1", 80, "/x"),
            ("http://localhost/x", "localhost", 80, "/x"),
        ] {
            let read = Address::read(text).ok().unwrap();
            assert_eq!((read.host.as_str(), read.port, read.target.as_str()), (host, port, target), "{text}");
        }
        for bad in [
            "",
            "hooks.example.org",
            "/a",
            "http://hooks.example.org/a",
            "http://127.0.0.1.example.org/a",
            "ftp://hooks.example.org/a",
            "https://",
            "https:///a",
            "https://ada:pass@hooks.example.org/a",
            "https://hooks.example.org:99999/a",
            "https://hooks.example.org:/a b",
        ] {
            assert!(Address::read(bad).is_err(), "{bad}");
        }
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        let key = webhook_key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Path::new("a")).unwrap();
        assert_eq!(
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn slack_gets_text_and_no_markup_of_others() {
        let notice = Notice {
            state: "new".to_owned(),
            secret: Some("a".to_owned()),
            text: "<!channel> a & b".to_owned(),
            owner: Some("<@U1>".to_owned()),
            next: Some("keyroll `status` <y>".to_owned()),
            host: "web-1".to_owned(),
            ..Notice::test(0)
        };
        assert_eq!(
            slack_text(&notice),
            "*[keyroll] server: a on web-1*\n&lt;!channel&gt; a &amp; b\nowner: &lt;@U1&gt;\n`keyroll 'status' &lt;y&gt;`"
        );
    }
}
