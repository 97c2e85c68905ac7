use keyroll_http::strict_json::{self, JsonDefect, RepeatedKey};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

/// How deep the JSON of an answer may be nested.
const JSON_DEPTH_MAX: usize = 64;

/// The longest error code of an issuer that is repeated in a message.
const CODE_LEN_MAX: usize = 40;

/// The host and path that were asked: a link to the next page must keep both. Never printed, because a path may hold a
/// value.
#[derive(Default)]
pub(crate) struct Asked {
    /// `host[:port]`.
    pub(crate) authority: String,
    /// The path, escaped.
    pub(crate) path: Zeroizing<String>,
}

/// An issuer's answer; wiped on drop, because a mint's answer holds a value.
pub(crate) struct Answer {
    status: u16,
    media: Option<String>,
    link: Option<String>,
    date: Option<String>,
    asked: Asked,
    body: Vec<u8>,
    json: Option<Value>,
    repeated_key: Option<RepeatedKey>,
    code: Option<String>,
}

impl Answer {
    /// An answer from its parts; the body is within its limit already.
    pub(crate) fn new(
        status: u16,
        media: Option<String>,
        link: Option<String>,
        asked: Asked,
        body: Vec<u8>,
    ) -> Self {
        let media =
            media.map(|media| media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let (json, repeated_key) = match strict_json::check(&body) {
            Ok(()) if depth(&body) <= JSON_DEPTH_MAX => (serde_json::from_slice(&body).ok(), None),
            Ok(()) | Err(JsonDefect::Broken) => (None, None),
            Err(JsonDefect::RepeatedKey(repeated)) => (None, Some(repeated)),
        };
        let code = json.as_ref().filter(|_| status >= 400).and_then(code).map(str::to_owned);
        Self { status, media, link, date: None, asked, body, json, repeated_key, code }
    }

    /// Drops the error code, and what is shown of a repeated key, if the request contained the same text: an issuer may
    /// repeat a value there.
    pub(crate) fn without_echo(mut self, sent: impl Fn(&str) -> bool) -> Self {
        self.code = self.code.take().filter(|code| !sent(code));
        self.repeated_key = self.repeated_key.take().map(|repeated| repeated.without_echo(&sent));
        self
    }

    /// The same answer with the time from its `Date` header.
    pub(crate) fn dated(mut self, date: Option<String>) -> Self {
        self.date = date;
        self
    }

    /// The `Date` header.
    pub(crate) fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The body as JSON, where it is JSON and not nested too deeply.
    pub(crate) fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    /// Whether an object of the body has a key twice: then nothing in the body is believed.
    pub(crate) fn repeats_a_key(&self) -> bool {
        self.repeated_key.is_some()
    }

    /// The `Link` header.
    pub(crate) fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// What was asked.
    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Whether the body holds this text.
    pub(crate) fn body_has(&self, text: &str) -> bool {
        let text = text.as_bytes();
        !text.is_empty() && self.body.windows(text.len()).any(|window| window == text)
    }

    /// Why this answer proves nothing, whatever a spec says. `None` if the spec may judge it.
    pub(crate) fn unsettling(&self) -> Option<String> {
        let repeated = self.repeated_key.as_ref().map(|repeated| format!("JSON with {repeated}"));
        let why = match (self.status, repeated.as_deref()) {
            (429, _) => "too many requests",
            (408 | 425, _) => "the issuer asks to come again",
            (300..=399, _) => "a redirect, which is never followed",
            (500.., _) => "the issuer's own failure",
            (0..=199, _) => "no final answer",
            _ if self.is_html() => "a page of HTML, not an API's answer",
            (_, Some(repeated)) => repeated,
            _ if self.claims_json() && self.json.is_none() && !self.body.is_empty() => {
                "JSON that is broken or nested too deeply"
            }
            _ => return None,
        };
        Some(format!("{} ({why})", self.summary()))
    }

    /// Status, media type and the issuer's own error code. A message repeats nothing else of an answer.
    pub(crate) fn summary(&self) -> String {
        let media = match self.media.as_deref() {
            Some("application/json") => "JSON",
            Some("application/problem+json") => "a JSON problem",
            Some("text/html" | "application/xhtml+xml") => "HTML",
            Some("text/plain") => "plain text",
            Some(_) => "another media type",
            None => "no media type",
        };
        match &self.code {
            Some(code) => format!("status {}, {media}, code {code}", self.status),
            None => format!("status {}, {media}", self.status),
        }
    }

    fn is_html(&self) -> bool {
        let start: Vec<u8> = self.body.iter().copied().skip_while(u8::is_ascii_whitespace).take(14).collect();
        let start = start.to_ascii_lowercase();
        matches!(self.media.as_deref(), Some("text/html" | "application/xhtml+xml"))
            || start.starts_with(b"<!doctype html")
            || start.starts_with(b"<html")
    }

    fn claims_json(&self) -> bool {
        self.media.as_deref().is_some_and(|media| media == "application/json" || media.ends_with("+json"))
    }
}

/// The issuer's error code. It may have only letters and underscores, so nothing that looks like a key passes.
fn code(json: &Value) -> Option<&str> {
    let places = ["/error/code", "/error/type", "/error", "/code", "/errors/0/code", "/type"];
    let texts = places.iter().filter_map(|place| json.pointer(place).and_then(Value::as_str));
    let plain = |text: &&str| {
        let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (3..=CODE_LEN_MAX).contains(&text.len()) && letters
    };
    texts.filter(plain).find(|text| text.len() <= 20 || text.contains('_'))
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.body.zeroize();
        if let Some(json) = &mut self.json {
            wipe(json);
        }
    }
}

/// Overwrites every text in it.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The deepest nesting of brackets outside strings, without building anything.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media: &str, body: &str) -> Answer {
        Answer::new(status, Some(media.to_owned()), None, Asked::default(), body.as_bytes().to_vec())
    }

    #[test]
    fn what_settles_nothing() {
        for status in [100, 301, 302, 307, 408, 425, 429, 500, 503, 599] {
            assert!(answer(status, "application/json", "{}").unsettling().is_some(), "{status}");
        }
        assert!(answer(200, "text/html; charset=utf-8", "hello").unsettling().is_some());
        assert!(answer(200, "text/plain", "\n <!DOCTYPE HTML><p>").unsettling().is_some());
        assert!(answer(401, "application/json", "{\"error\":").unsettling().is_some());
        assert!(answer(200, "application/json", "{}").unsettling().is_none());
        assert!(answer(204, "application/json", "").unsettling().is_none());
        assert!(answer(401, "text/plain", "no").unsettling().is_none());
    }

    #[test]
    fn a_key_twice_settles_nothing_whatever_the_media_type() {
        let twice = r#"{"data":[{"id":"a","id":"b"}]}"#;
        for media in ["application/json", "text/plain", "application/problem+json"] {
            let answer = answer(401, media, twice);
            assert!(
                answer.json().is_none() && answer.unsettling().unwrap().contains("at /data/0/id"),
                "{media}"
            );
        }
        let echo = answer(200, "application/json", r#"{"horse":{"id":1,"id":2}}"#)
            .without_echo(|name| name == "horse");
        assert!(!echo.unsettling().unwrap().contains("horse"));
    }

    #[test]
    fn json_is_not_nested_without_end() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(answer(200, "application/json", &deep).json().is_none());
        let brackets_in_text = format!("\"{}\"", "[".repeat(100));
        assert!(answer(200, "application/json", &brackets_in_text).json().is_some());
    }

    #[test]
    fn only_a_plain_code_is_repeated() {
        let said = |body: &str| answer(401, "application/json", body).summary();
        assert!(said("{\"error\":{\"code\":\"invalid_api_key\"}}").contains("invalid_api_key"));
        assert!(!said("{\"error\":\"sk-or-v1-0123\"}").contains("sk-or"));
        let echo = answer(401, "application/json", "{\"error\":\"correct_horse\"}");
        assert!(!echo.without_echo(|code| code == "correct_horse").summary().contains("horse"));
        assert!(!said("{\"error\":\"abcdefabcdefabcdefabcdefabcdef\"}").contains("abcdef"));
    }
}
