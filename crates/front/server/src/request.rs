//! The body of a request, bounded; that of `POST /rotate-secret` is read strictly: nothing is guessed from a request that
//! changes a key.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::answer::Refusal;

/// The largest body, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1_024;
/// How long an answer waits for the rotation.
const WAIT: Duration = Duration::from_secs(25);
/// The longest wait that a caller may ask for.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// How long a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The body of a request, of at most so many bytes; it is erased.
pub(crate) async fn body(request: Request, most: usize) -> Result<Zeroizing<Vec<u8>>, Response> {
    let too_large = || {
        let refusal = Refusal::new(format!("the body has more than {most} bytes"));
        refusal.answered(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > most)) {
        return Err(too_large());
    }
    let mut body = Limited::new(request.into_body(), most);
    // It never grows, so that no copy of a part of it is left behind.
    let whole = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(most);
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole.min(most)));
    let end = tokio::time::Instant::now() + BODY_TIME_MAX;
    loop {
        match tokio::time::timeout_at(end, body.frame()).await {
            Ok(None) => return Ok(bytes),
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(data);
                }
            }
            Ok(Some(Err(error))) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
            Ok(Some(Err(_))) => {
                return Err(Refusal::new("the body ended early").answered(StatusCode::BAD_REQUEST));
            }
            Err(_) => {
                let refusal =
                    Refusal::new(format!("the body took longer than {} s", BODY_TIME_MAX.as_secs()));
                return Err(refusal.answered(StatusCode::REQUEST_TIMEOUT));
            }
        }
    }
}

/// What is asked for.
pub(crate) struct Asked {
    pub(crate) name: String,
    /// None = the issuer makes the new key, or keyroll chooses it.
    pub(crate) value: Option<SecretBytes>,
}

impl Asked {
    pub(crate) fn duplicate(&self) -> Self {
        Self { name: self.name.clone(), value: self.value.as_ref().map(SecretBytes::duplicate) }
    }
}

/// What `POST /rotate-secret` reads.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateSecret)]
pub(crate) struct Body {
    /// The name of the secret, an alias, or a variable that only one secret is read from.
    #[schema(min_length = 1)]
    secret_name: String,
    /// The new key. Without it the issuer makes it, or keyroll chooses it.
    #[schema(value_type = Option<String>, write_only, min_length = 1)]
    new_value: Option<Value>,
}

/// A text that is erased, however it ends.
struct Value(SecretBytes);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value(SecretBytes::new(text.as_bytes().to_vec())))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
                Ok(Value(SecretBytes::from(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Why a body is not understood, without a part of it. `wrong`: what a field of another type is; `form` shows how the body
/// is written.
pub(crate) fn why(error: &serde_json::Error, wrong: &str, form: &str) -> String {
    let why = match error.classify() {
        serde_json::error::Category::Data => {
            format!("a field is unknown, missing, given twice, or {wrong}")
        }
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => "it is not valid JSON".to_owned(),
    };
    format!("{why} (line {}, column {}); send {form}", error.line(), error.column())
}

/// Reads the body. The sentence never repeats anything of it: any of its texts may be the value.
pub(crate) fn read(mut body: Vec<u8>) -> Result<Asked, String> {
    let read = serde_json::from_slice::<Body>(&body);
    body.zeroize();
    let Body { secret_name, new_value } = read.map_err(|error| {
        let form = "{\"secret_name\": \"NAME\", \"new_value\": \"THE NEW KEY\"}";
        why(&error, "not a string", form)
    })?;
    if secret_name.is_empty() {
        return Err("`secret_name` is empty".to_owned());
    }
    let value = new_value.map(|Value(value)| without_line_end(&value));
    if value.as_ref().is_some_and(SecretBytes::is_empty) {
        return Err("`new_value` is empty; leave it out, and the issuer makes the new key".to_owned());
    }
    Ok(Asked { name: secret_name, value })
}

/// A value that was read from a file has the file's line end, which is no part of a key.
fn without_line_end(value: &SecretBytes) -> SecretBytes {
    let bytes = value.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    SecretBytes::new(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec())
}

/// How long the caller waits: `Prefer: wait=N`, seconds (RFC 7240); other preferences are ignored.
pub(crate) fn wait(headers: &HeaderMap) -> Duration {
    let all = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = all.flat_map(|value| value.split([',', ';']));
    let wait = preferences.find_map(|one| {
        let (name, seconds) = one.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(Duration::from_secs(seconds))
    });
    wait.map_or(WAIT, |wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_strictly_and_never_repeated() {
        let asked = read(br#"{"secret_name": "A_KEY", "new_value": "sk-\u00e4"}"#.to_vec()).ok().unwrap();
        assert_eq!(asked.name, "A_KEY");
        assert!(asked.value.unwrap() == SecretBytes::from("sk-ä".to_owned()));
        for end in ["\\n", "\\r\\n"] {
            let body = format!(r#"{{"secret_name":"a","new_value":"sk{end}"}}"#);
            assert!(
                read(body.into_bytes()).ok().unwrap().value.unwrap() == SecretBytes::from("sk".to_owned())
            );
        }
        for none in [r#"{"secret_name":"a"}"#, r#"{"secret_name":"a","new_value":null}"#] {
            assert!(read(none.as_bytes().to_vec()).ok().unwrap().value.is_none());
        }
        let deep = "[".repeat(30_000);
        for bad in [
            "",
            "canary",
            "[]",
            r#""canary""#,
            r#"{"new_value":"canary"}"#,
            r#"{"secret_name":"a","new_value":"canary","new_value":"canary"}"#,
            r#"{"secret_name":"a","secret_name":"b","new_value":"canary"}"#,
            r#"{"secret_name":"a","value":"canary"}"#,
            r#"{"secret_name":"a","canary":1}"#,
            r#"{"secret_name":7,"new_value":"canary"}"#,
            r#"{"secret_name":"a","new_value":{"canary":1}}"#,
            r#"{"secret_name":"a","new_value":["canary"]}"#,
            r#"{"secret_name":"a","new_value":"canary"} canary"#,
            r#"{"secret_name":"","new_value":"canary"}"#,
            r#"{"secret_name":"a","new_value":""}"#,
            deep.as_str(),
        ] {
            let said = read(bad.as_bytes().to_vec()).err().unwrap();
            assert!(!said.contains("canary") && said.len() < 200, "{said}");
        }
    }

    #[test]
    fn a_caller_says_how_long_it_waits() {
        let told = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            wait(&headers).as_secs()
        };
        assert_eq!(wait(&HeaderMap::new()), WAIT);
        assert_eq!([told("wait=3"), told("respond-async, Wait = 4"), told("wait=0")], [3, 4, 0]);
        assert_eq!([told("wait=9999999"), told("wait=x"), told("await=3")], [600, 25, 25]);
    }
}
