//! A short-lived access token instead of the value: the OAuth 2.0 client credentials grant (RFC 6749, section 4.4).

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use keyroll_http::{
    Endpoint, Excess, Limits, Method, Request, Response, Uri, basic, connect, exchange, is_loopback,
    percent_encode,
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::socket::{Given, problem};
use crate::args::GetArgs;

/// How long the exchange may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest lifetime that is believed, seconds: ten years.
const LIFE_S_MAX: u64 = 10 * 366 * 86_400;
/// The longest word of the server that is shown, bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// An access token, with its lifetime if the server says it, seconds.
pub(super) struct Access {
    pub(super) token: Zeroizing<String>,
    pub(super) life_s: Option<u32>,
}

/// Where a token is asked for.
pub(super) struct Issuer {
    host: String,
    port: u16,
    tls: bool,
    target: String,
    authority: String,
}

impl Issuer {
    /// Reads the address. It is not repeated in an error: it may have been written with a credential.
    pub(super) fn parse(secret: &str, url: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| {
            problem(secret)
                .because(format!("--token-url: {why}"))
                .help("write https://HOST/PATH; http:// only for this machine")
                .exits(Exit::Usage)
        };
        let read: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        let tls = match read.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong("it begins neither with https:// nor with http://")),
        };
        let authority = read.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user or a password"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if !tls && !is_loopback(&host) {
            return Err(wrong("without encryption the value could be read on the way"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let target = read.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { host, port, tls, target, authority: authority.to_string() })
    }

    /// Asks once, with the client's id and secret of a version.
    pub(super) fn ask(&self, args: &GetArgs, given: &Given) -> Result<Access, Problem> {
        let secret = args.secret.as_str();
        let failed = |why: String| {
            Problem::new(Code::ValueNotServed, format!("exchange {secret} for a token at {}", self.authority))
                .because(why)
        };
        let request = self.request(args, given)?;
        let limits = Limits { time: TIME_MAX, body_bytes_max: ANSWER_BYTES_MAX, excess: Excess::Refuse };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let endpoint = Endpoint { host: &self.host, port: self.port, tls: self.tls };
        let local = OnceLock::new();
        let answer = runtime
            .block_on(exchange(connect(endpoint, &local), request, &limits))
            .map_err(|error| failed(error.to_string()))?;
        token(&answer).map_err(failed)
    }

    /// The id and the secret are in the header: every server must take them there (RFC 6749, section 2.3.1), and none logs
    /// it with the form.
    fn request(&self, args: &GetArgs, given: &Given) -> Result<Request, Problem> {
        let secret = args.secret.as_str();
        let id = args.client_id.as_deref().or_else(|| given.field(&["client_id"]));
        let id = id.ok_or_else(|| given.lacks(secret, "client_id").help("say which one: --client-id ID"))?;
        let value = match given.field(&["client_secret"]) {
            Some(value) => value,
            None => given.chosen(secret, None)?,
        };
        let encoded = |text: &str| {
            let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
            percent_encode(&mut out, text.as_bytes());
            out
        };
        let header = basic(&encoded(id), encoded(value).as_bytes())
            .ok_or_else(|| problem(secret).because("its client_id or client_secret fits in no header"))?;
        let mut form = String::from("grant_type=client_credentials");
        if let Some(scope) = &args.scope {
            let _ = write!(form, "&scope=");
            percent_encode(&mut form, scope.as_bytes());
        }
        let headers = vec![
            (AUTHORIZATION, header),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ];
        let get = Request::get(self.authority.clone(), self.target.clone());
        Ok(Request { method: Method::POST, headers, body: Zeroizing::new(form.into_bytes()), ..get })
    }
}

/// The token of an answer. An error repeats of the server only a word of RFC 6749, section 5.2, such as `invalid_client`.
fn token(answer: &Response) -> Result<Access, String> {
    let read: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        let word = read.get("error").and_then(Value::as_str).filter(|word| is_word(word));
        let why = word.map_or_else(String::new, |word| format!(": {word}"));
        return Err(format!("the server answered with {}{why}", answer.status));
    }
    let kind = read.get("token_type").and_then(Value::as_str).unwrap_or("bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err("the token is no bearer token".to_owned());
    }
    let text = read.get("access_token").and_then(Value::as_str);
    let token = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let token = token.ok_or("the answer has no access_token")?;
    // Some servers send the number as a text.
    let life = read.get("expires_in").and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    let life_s = life.map(|life| u32::try_from(life.min(LIFE_S_MAX)).unwrap_or(u32::MAX));
    Ok(Access { token: Zeroizing::new(token.to_owned()), life_s })
}

fn is_word(word: &str) -> bool {
    word.len() <= SHOWN_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use keyroll_http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Result<(String, Option<u32>), String> {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        let read = token(&Response { status, headers: HeaderMap::new(), body })?;
        Ok((read.token.to_string(), read.life_s))
    }

    #[test]
    fn an_answer_is_a_bearer_token_or_a_reason_without_the_servers_own_text() {
        let good = |life: &str| answer(200, &format!(r#"{{"access_token":"t-1","expires_in":{life}}}"#));
        assert_eq!(good("3600"), Ok(("t-1".to_owned(), Some(3600))));
        assert_eq!(good("\"60\""), Ok(("t-1".to_owned(), Some(60))));
        for unknown in ["-1", "null", "\"soon\"", "1.5"] {
            assert_eq!(good(unknown), Ok(("t-1".to_owned(), None)), "{unknown}");
        }
        for (status, body, why) in [
            (200, "<html>", "no access_token"),
            (200, r#"{"access_token":""}"#, "no access_token"),
            (200, r#"{"access_token":"a b"}"#, "no access_token"),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, "no bearer token"),
            (401, r#"{"error":"invalid_client"}"#, "with 401: invalid_client"),
            (400, r#"{"error":"Your secret abc is wrong"}"#, "with 400"),
            (302, "", "with 302"),
        ] {
            let refused = answer(status, body).unwrap_err();
            assert!(refused.ends_with(why), "{body}: {refused}");
        }
    }

    #[test]
    fn a_value_goes_only_to_an_encrypted_address_or_to_this_machine() {
        for (url, host, port, tls) in [
            ("https://id.example.org/token?a=1", "id.example.org", 443, true),
            ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443, true),
            ("http://127.0.0.1:8080/token", "127.0.0.1", 8080, false),
            ("http://[::1]/token", "::1", 80, false),
        ] {
            let read = Issuer::parse("one", url).map_err(|problem| problem.causes).unwrap();
            assert_eq!((read.host.as_str(), read.port, read.tls), (host, port, tls), "{url}");
        }
        for url in ["http://id.example.org/", "ftp://a/", "a/b", "", "https://user:pw@a/", "https://"] {
            assert!(Issuer::parse("one", url).is_err(), "{url}");
        }
    }
}
